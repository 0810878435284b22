package correlationprocessor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	bbolt "go.etcd.io/bbolt/errors"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/correlation"
)

const (
	// unusable is, behind its name, where a part of the state that could not be read is kept aside, for people to look at.
	unusable = ".unusable"
	// spare is the name of the storage that is used as long as the first one is damaged.
	spare = "spare"
)

var errDamaged = errors.New("the database is damaged")

// open takes the state up from the storage extension.
func (c *correlator) open(ctx context.Context, host component.Host) error {
	if c.cfg.Storage == nil {
		c.set.Logger.Info("no storage is set: findings do not outlive a restart")
		return nil
	}
	ext, ok := host.GetExtensions()[*c.cfg.Storage]
	if !ok {
		return fmt.Errorf("storage: there is no extension %q; want the id of a storage extension, such as file_storage, that "+
			"service::extensions lists", c.cfg.Storage)
	}
	st, ok := ext.(storage.Extension)
	if !ok {
		return fmt.Errorf("storage: extension %q is no storage extension; want one such as file_storage", c.cfg.Storage)
	}
	client, saved, err := c.read(ctx, st, "")
	if errors.Is(err, errDamaged) {
		// A damaged file must not keep the agent from watching either. It stays where it is, and another one takes its place.
		c.set.Logger.Error("the stored state is damaged: going on with another file beside it, which is empty at first; "+
			"remove the damaged one to end this message", zap.Stringer("storage", c.cfg.Storage), zap.Error(err))
		client, saved, err = c.read(ctx, st, spare)
	}
	if err != nil {
		return fmt.Errorf("storage: open %q: %w", c.cfg.Storage, err)
	}
	if err := c.restore(ctx, client, saved); err != nil {
		return errors.Join(fmt.Errorf("storage: %w", err), client.Close(ctx))
	}
	c.store = client
	return nil
}

// read opens the storage of a name and reads all that there is of the state. A database that is damaged may answer with an error, a
// panic, or a fault of memory that is mapped to no file any more: all of them are errDamaged.
func (c *correlator) read(ctx context.Context, st storage.Extension, name string) (client storage.Client, saved map[correlation.Shard][]byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	if client, err = st.GetClient(ctx, component.KindProcessor, c.id, name); err != nil {
		for _, damage := range []error{bbolt.ErrInvalid, bbolt.ErrVersionMismatch, bbolt.ErrChecksum} {
			if errors.Is(err, damage) {
				return nil, nil, fmt.Errorf("%w: %w", errDamaged, err)
			}
		}
		return nil, nil, err
	}
	ops := make([]*storage.Operation, correlation.Shards)
	for at := range correlation.Shards {
		ops[at] = storage.GetOperation(at.String())
	}
	if err := client.Batch(ctx, ops...); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read: %w", err), client.Close(ctx))
	}
	saved = map[correlation.Shard][]byte{}
	for at := range correlation.Shards {
		if len(ops[at].Value) > 0 {
			saved[at] = ops[at].Value
		}
	}
	return client, saved, nil
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
