package pattern

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/your-org/tapio/internal/correlation/entity"
	"github.com/your-org/tapio/internal/correlation/timeline"
	"github.com/your-org/tapio/internal/finding"
)

// check tells a text once, with all that it may tell under whatever condition. A template finds out what it names and there is not only
// when it comes there, which may be in the middle of a night, and then nothing is told at all.
func (p *Pattern) check(t *template.Template) error {
	tree := t.Tree.Copy()
	straighten(tree.Root)
	whole, err := t.Clone()
	if err != nil {
		return err
	}
	if whole, err = whole.AddParseTree(t.Name(), tree); err != nil {
		return err
	}
	return whole.Option("missingkey=zero").Execute(io.Discard, p.sample()) // which attributes there are, is not known here
}

// straighten makes a text one that tells each of its parts.
func straighten(l *parse.ListNode) {
	if l == nil {
		return
	}
	var all []parse.Node
	branch := func(b *parse.BranchNode, inside ...parse.Node) {
		straighten(b.List)
		straighten(b.ElseList)
		all = append(all, inside...)
		// What the condition declares is known to what follows it.
		all = append(all, &parse.ActionNode{NodeType: parse.NodeAction, Pos: b.Pos, Line: b.Line, Pipe: b.Pipe})
		if len(inside) == 0 {
			all = append(all, b.List.Nodes...)
		}
		if b.ElseList != nil {
			all = append(all, b.ElseList.Nodes...)
			b.ElseList = nil
		}
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.IfNode:
			branch(&n.BranchNode)
		case *parse.WithNode:
			branch(&n.BranchNode, n)
		case *parse.RangeNode:
			branch(&n.BranchNode, n)
		default:
			all = append(all, n)
		}
	}
	l.Nodes = all
}

// sample is a story in which there is everything that the pattern can tell of.
func (p *Pattern) sample() *story {
	now := time.Unix(0, 0)
	s := &story{pattern: p, clock: startClock(now), matched: map[string]*seen{}, in: Input{Now: now, Timeline: timeline.New(now),
		Entity:   entity.Entity{ID: "x", Kind: entity.Container, Namespace: "x", Name: "x", Container: "x", Owner: &finding.Owner{Kind: "x", Name: "x"}},
		Reached:  "x",
		Foreseen: func(*Confirmation) string { return "x" },
		Evicted:  func() []Candidate { return []Candidate{{Name: "x"}} }}}
	if p.Forecast != nil {
		s.in.Forecast = &finding.Forecast{At: now}
	}
	for i := range p.Confirms {
		s.confirms = append(s.confirms, &p.Confirms[i])
	}
	for _, c := range p.Signals {
		s.matched[c.ID] = &seen{clause: c, Count: 1, Time: now, Text: "x", Attributes: none}
	}
	return s
}

// known reports an id that is none of the pattern's evidence.
func (p *Pattern) known(ids ...string) error {
	for _, id := range ids {
		if !slices.ContainsFunc(p.Signals, func(c *Clause) bool { return c.ID == id }) {
			var all []string
			for _, c := range p.Signals {
				all = append(all, c.ID)
			}
			return fmt.Errorf("there is no signal %q, want one of %s", id, strings.Join(all, ", "))
		}
	}
	return nil
}
