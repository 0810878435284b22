package correlationprocessor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	bbolt "go.etcd.io/bbolt/errors"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"

	"github.com/your-org/tapio/internal/correlation"
)

const (
	// unusable is where a part of the state that could not be read is kept aside, for people to look at.
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
	for _, part := range correlation.Parts() {
		if err := c.restore(ctx, client, string(part), saved[part]); err != nil {
			return errors.Join(fmt.Errorf("storage: %w", err), client.Close(ctx))
		}
	}
	c.store = client
	return nil
}

// read opens the storage of a name and reads all parts of the state. A database that is damaged may answer with an error, a
// panic, or a fault of memory that is mapped to no file any more: all of them are errDamaged.
func (c *correlator) read(ctx context.Context, st storage.Extension, name string) (client storage.Client, saved map[correlation.Part][]byte, err error) {
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
	saved = map[correlation.Part][]byte{}
	for _, part := range correlation.Parts() {
		if saved[part], err = client.Get(ctx, string(part)); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("read %s: %w", part, err), client.Close(ctx))
		}
	}
	return client, saved, nil
}

// restore takes one part of the state up. One that cannot be read must not keep the agent from watching: it is put aside, and
// said to be.
func (c *correlator) restore(ctx context.Context, client storage.Client, key string, saved []byte) error {
	if len(saved) == 0 {
		return nil
	}
	bad := c.engine.Restore(time.Now(), saved)
	if bad == nil {
		return nil
	}
	c.set.Logger.Error("the stored state is not usable: starting without it, and keeping it aside", zap.String("part", key),
		zap.String("kept_as", key+unusable), zap.Int("bytes", len(saved)), zap.Error(bad))
	if err := client.Set(ctx, key+unusable, saved); err != nil {
		return fmt.Errorf("keep the unusable %s aside: %w", key, err)
	}
	if err := client.Delete(ctx, key); err != nil {
		return fmt.Errorf("delete the unusable %s: %w", key, err)
	}
	return nil
}

// keep stores parts of the state. Where that fails, findings are told all the same: it is said and counted.
func (c *correlator) keep(ctx context.Context, parts ...correlation.Part) {
	if err := c.save(ctx, parts...); err != nil && ctx.Err() == nil {
		c.telemetry.ProcessorCorrelationSaveErrors.Add(ctx, 1)
		c.set.Logger.Error("cannot store the state: what changed since is lost if this process ends now", zap.Error(err))
	}
}

func (c *correlator) save(ctx context.Context, parts ...correlation.Part) error {
	if c.store == nil {
		return nil
	}
	for _, part := range parts {
		b, err := c.engine.Save(part)
		if err != nil {
			return err
		}
		if err := c.store.Set(ctx, string(part), b); err != nil {
			return fmt.Errorf("store %s: %w", part, err)
		}
	}
	return nil
}
