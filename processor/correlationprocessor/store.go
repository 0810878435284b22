package correlationprocessor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/correlation"
	"github.com/your-org/tapio/internal/spare"
)

// unusable is, behind its name, where a part of the state that could not be read is kept aside, for people to look at.
const unusable = ".unusable"

// open takes the state up from the storage extension.
func (c *correlator) open(ctx context.Context, host component.Host) error {
	if c.cfg.Storage == nil {
		c.set.Logger.Info("no storage is set: findings do not outlive a restart")
		return nil
	}
	var saved map[correlation.Shard][]byte
	client, err := spare.Open(ctx, host, *c.cfg.Storage, spare.Owner{Kind: component.KindProcessor, ID: c.id, Log: c.set.Logger},
		func(client storage.Client) (err error) {
			saved, err = read(ctx, client)
			return err
		})
	if err != nil {
		return err
	}
	if err := c.restore(ctx, client, saved); err != nil {
		return errors.Join(fmt.Errorf("storage: %w", err), client.Close(ctx))
	}
	c.store = client
	return nil
}

// read reads all that there is of the state.
func read(ctx context.Context, client storage.Client) (map[correlation.Shard][]byte, error) {
	ops := make([]*storage.Operation, correlation.Shards)
	for at := range correlation.Shards {
		ops[at] = storage.GetOperation(at.String())
	}
	if err := client.Batch(ctx, ops...); err != nil {
		return nil, err
	}
	saved := map[correlation.Shard][]byte{}
	for at := range correlation.Shards {
		if len(ops[at].Value) > 0 {
			saved[at] = ops[at].Value
		}
	}
	return saved, nil
}

// restore takes the state up. What of it cannot be read must not keep the agent from watching: it is put aside, and said to be.
func (c *correlator) restore(ctx context.Context, client storage.Client, saved map[correlation.Shard][]byte) error {
	bad := c.engine.Restore(time.Now(), saved)
	if len(bad) == 0 {
		return nil
	}
	var ops []*storage.Operation
	var aside []string
	shards := slices.Sorted(maps.Keys(bad))
	for _, at := range shards {
		aside = append(aside, at.String()+unusable)
		ops = append(ops, storage.SetOperation(at.String()+unusable, saved[at]), storage.DeleteOperation(at.String()))
	}
	c.set.Logger.Error("the stored state is not usable: starting without it, and keeping it aside", zap.Int("parts", len(saved)),
		zap.Int("unusable", len(bad)), zap.Strings("kept_as", aside), zap.NamedError("first_error", bad[shards[0]]))
	if err := client.Batch(ctx, ops...); err != nil {
		return fmt.Errorf("keep the unusable state aside: %w", err)
	}
	return nil
}

// persist stores what has to be stored now: findings that changed, and what is known of all entities in turns, so that it is
// stored once in an interval.
func (c *correlator) persist(ctx context.Context, now time.Time) {
	c.keep(ctx, c.engine.Unsaved())
	for each := c.cfg.SaveInterval / correlation.Turns; now.Sub(c.turned) >= each; c.turned = c.turned.Add(each) {
		c.keep(ctx, c.engine.Touched(c.turn))
		c.turn = (c.turn + 1) % correlation.Turns
	}
}

// keep stores some shards of the state. Where that fails, findings are told all the same: it is said and counted.
func (c *correlator) keep(ctx context.Context, shards []correlation.Shard) {
	if err := c.save(ctx, shards); err != nil && ctx.Err() == nil {
		c.telemetry.ProcessorCorrelationSaveErrors.Add(ctx, 1)
		c.set.Logger.Error("cannot store the state: what changed since is lost if this process ends now", zap.Error(err))
	}
}

// save stores some shards, not too many at once: the file needs room for what is written beside what it replaces.
func (c *correlator) save(ctx context.Context, shards []correlation.Shard) error {
	if c.store == nil {
		return nil
	}
	for some := range slices.Chunk(shards, int(correlation.Shards)/correlation.Turns) {
		saved, err := c.engine.Save(some...)
		if err != nil {
			return err
		}
		ops := make([]*storage.Operation, 0, len(saved))
		for at, b := range saved {
			if b == nil {
				ops = append(ops, storage.DeleteOperation(at.String()))
			} else {
				ops = append(ops, storage.SetOperation(at.String(), b))
			}
		}
		if err := c.store.Batch(ctx, ops...); err != nil {
			c.engine.Lost(some...) // they are tried again when it is their turn
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}
