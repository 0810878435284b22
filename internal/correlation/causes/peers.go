package causes

import (
	"fmt"
	"net"
	"strings"

	"github.com/your-org/tapio/internal/finding"
)

// address is the kind under which Links have an IP address: it depends on the object that has it.
const address = "Address"

// At names an IP address.
func At(ip string) Ref { return Ref{Kind: address, Name: ip} }

// addressOf is the address of a finding's peer.
func addressOf(p *finding.Peer) Ref {
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		host = p.Address
	}
	return At(host)
}

// NamePeer tells whom a finding's entity wants to reach by the object that has the address, where that is known and was not told before.
func NamePeer(f *finding.Finding, links Links) {
	if f.Peer == nil || f.Peer.Name != "" || len(links[addressOf(f.Peer)]) == 0 {
		return
	}
	of := links[addressOf(f.Peer)][0]
	named := *f.Peer
	named.Kind, named.Namespace, named.Name = of.Kind, of.Namespace, of.Name
	f.Peer = &named
	name := of.Name
	if of.Namespace != "" {
		name = of.Namespace + "/" + name
	}
	name = fmt.Sprintf("%s %s (%s)", of.Kind, name, named.Address)
	for _, text := range []*string{&f.Title, &f.Explanation, &f.Brief} {
		*text = strings.ReplaceAll(*text, named.Address, name)
	}
}
