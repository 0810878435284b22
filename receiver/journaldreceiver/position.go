package journaldreceiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/your-org/tapio/internal/spare"
	"github.com/your-org/tapio/receiver/journaldreceiver/internal/sdjournal"
)

// maxGone bounds the positions that are kept of files which are no more.
const maxGone = 256

// position is how far a file was read.
type position struct {
	// Path is where the file was seen last.
	Path string `json:"path"`
	// Seqnum is the sequence number of the last entry that was told or passed over; 0 before the first.
	Seqnum uint64 `json:"seqnum"`
	// Done says that the file was read to its end, and is not written to any more.
	Done bool `json:"done,omitempty"`
	// Boot, From and To are the boot and the span on its clock, in microseconds, of which all that is in this file was told or
	// passed over. journald writes to one folder at a time, and when it goes from /run to /var it takes the entries along:
	// those within the span of the file in the other folder are copies.
	Boot string `json:"boot,omitempty"`
	From uint64 `json:"from,omitempty"`
	To   uint64 `json:"to,omitempty"`

	gone bool
}

// covers says whether an entry in another folder's file is a copy of one of this file that is behind the position.
func (p *position) covers(boot string, monotonic uint64) bool {
	return p.Boot == boot && p.From <= monotonic && monotonic <= p.To
}

// extend moves the position behind a batch whose last entry is given.
func (p *position) extend(seqnum uint64, first, last sdjournal.Entry) {
	p.Seqnum = seqnum
	if boot := last.Boot.String(); p.Boot != boot {
		p.Boot, p.From = boot, last.Monotonic
		if first.Boot == last.Boot {
			p.From = first.Monotonic
		}
	}
	p.To = last.Monotonic
}

// checkpoints keeps positions over restarts.
type checkpoints struct {
	client storage.Client        // nil without a storage
	stored map[sdjournal.ID]bool // the ids in the index
}

const (
	indexKey       = "files"
	positionPrefix = "position/"
)

// openCheckpoints opens the storage, if there is to be one, and reads the positions in it.
func openCheckpoints(ctx context.Context, host component.Host, id *component.ID, owner spare.Owner) (*checkpoints, map[sdjournal.ID]*position, error) {
	if id == nil {
		return &checkpoints{}, nil, nil
	}
	var c *checkpoints
	var positions map[sdjournal.ID]*position
	_, err := spare.Open(ctx, host, *id, owner, func(client storage.Client) (err error) {
		c = &checkpoints{client: client}
		positions, err = c.load(ctx)
		return err
	})
	return c, positions, err
}

// load reads the positions; none is nil, which is not the same as that there is no file.
func (c *checkpoints) load(ctx context.Context) (map[sdjournal.ID]*position, error) {
	b, err := c.client.Get(ctx, indexKey)
	if err != nil || b == nil {
		return nil, err
	}
	var ids []string
	if err := json.Unmarshal(b, &ids); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", spare.ErrDamaged, indexKey, err)
	}
	positions := make(map[sdjournal.ID]*position, len(ids))
	c.stored = make(map[sdjournal.ID]bool, len(ids))
	for _, s := range ids {
		id, err := sdjournal.ParseID(s)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", spare.ErrDamaged, indexKey, err)
		}
		b, err := c.client.Get(ctx, positionPrefix+s)
		if err != nil {
			return nil, err
		}
		p := &position{}
		if err := json.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("%w: %s%s: %w", spare.ErrDamaged, positionPrefix, s, err)
		}
		positions[id], c.stored[id] = p, true
	}
	return positions, nil
}

// store writes one position, and all of them when there are others than before. It forgets the files gone longest.
func (c *checkpoints) store(ctx context.Context, id sdjournal.ID, positions map[sdjournal.ID]*position) error {
	if c.client == nil {
		return nil
	}
	var ops []*storage.Operation
	var errs []error
	set := func(key string, value any) {
		b, err := json.Marshal(value)
		errs = append(errs, err)
		ops = append(ops, storage.SetOperation(key, b))
	}
	same := c.stored != nil && len(positions) == len(c.stored)
	for id := range positions {
		same = same && c.stored[id]
	}
	if same {
		if p := positions[id]; p != nil {
			set(positionPrefix+id.String(), p)
		}
		return c.write(ctx, ops, errs)
	}
	ids := []string{} // not null: that there are none is known
	stored := make(map[sdjournal.ID]bool, len(positions))
	for id, p := range positions {
		set(positionPrefix+id.String(), p)
		ids, stored[id] = append(ids, id.String()), true
	}
	for id := range c.stored {
		if !stored[id] {
			ops = append(ops, storage.DeleteOperation(positionPrefix+id.String()))
		}
	}
	set(indexKey, ids)
	if err := c.write(ctx, ops, errs); err != nil {
		return err
	}
	c.stored = stored
	return nil
}

func (c *checkpoints) write(ctx context.Context, ops []*storage.Operation, errs []error) error {
	if err := errors.Join(errs...); err != nil || len(ops) == 0 {
		return err
	}
	return c.client.Batch(ctx, ops...)
}

func (c *checkpoints) close(ctx context.Context) error {
	if c.client == nil {
		return nil
	}
	return c.client.Close(ctx)
}
