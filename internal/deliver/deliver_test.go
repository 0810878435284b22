package deliver

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/plog"
)

// next takes what a test has it take, and changes what it is given.
type next struct {
	answer func(offer int) error
	offers []string
}

func (n *next) Capabilities() consumer.Capabilities { return consumer.Capabilities{MutatesData: true} }

func (n *next) ConsumeLogs(_ context.Context, ld plog.Logs) error {
	body := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Body()
	n.offers = append(n.offers, body.Str())
	body.SetStr("changed")
	return n.answer(len(n.offers))
}

func TestLogs(t *testing.T) {
	busy, refused := errors.New("come again"), consumererror.NewPermanent(errors.New("never"))
	for name, c := range map[string]struct {
		answers []error // the last is given for ever
		stop    int     // the offer during which ctx ends
		offers  int
		want    error
	}{
		"it is taken":                        {answers: []error{nil}, offers: 1},
		"it is refused for now":              {answers: []error{busy, busy, nil}, offers: 3},
		"it is refused for good":             {answers: []error{refused}, offers: 1, want: refused},
		"it is refused for now and for good": {answers: []error{busy, refused}, offers: 2, want: refused},
		"nobody waits for it any more":       {answers: []error{busy}, stop: 2, offers: 2, want: busy},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			n := &next{answer: func(offer int) error {
				if offer == c.stop {
					cancel()
				}
				return c.answers[min(offer, len(c.answers))-1]
			}}
			ld := plog.NewLogs()
			ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("it happened")
			assert.ErrorIs(t, Logs(ctx, n, ld), c.want)
			assert.Len(t, n.offers, c.offers)
			for _, offered := range n.offers {
				assert.Equal(t, "it happened", offered, "as it was before it was refused")
			}
			assert.Equal(t, 1, ld.LogRecordCount())
		})
	}
}
