// Package spare opens the storage in which a component keeps what is to outlive a restart, also when its file is damaged: an agent must
// not be kept from watching by that.
package spare

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	bbolt "go.etcd.io/bbolt/errors"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

// name is that of the storage which is used as long as the first one is damaged.
const name = "spare"

// ErrDamaged says that what is stored cannot be read, and never will be.
var ErrDamaged = errors.New("the database is damaged")

// Owner is whose storage it is.
type Owner struct {
	Kind component.Kind
	ID   component.ID
	Log  *zap.Logger
}

// Open opens an owner's storage in an extension of host, and has read read what is there. Where that is damaged, it stays as it is, and
// another storage beside it is read and returned. Errors name the field storage.
func Open(ctx context.Context, host component.Host, extension component.ID, of Owner, read func(storage.Client) error) (storage.Client, error) {
	ext, ok := host.GetExtensions()[extension]
	if !ok {
		return nil, fmt.Errorf("storage: there is no extension %q; want the id of a storage extension, such as file_storage, that "+
			"service::extensions lists", extension)
	}
	st, ok := ext.(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("storage: extension %q is no storage extension; want one such as file_storage", extension)
	}
	client, err := try(ctx, st, of, "", read)
	if errors.Is(err, ErrDamaged) {
		of.Log.Error("the stored state is damaged: going on with another file beside it, which is empty at first; "+
			"remove the damaged one to end this message", zap.Stringer("storage", extension), zap.Error(err))
		client, err = try(ctx, st, of, name, read)
	}
	if err != nil {
		return nil, fmt.Errorf("storage: open %q: %w", extension, err)
	}
	return client, nil
}

// try opens the storage of a name and reads what is there. A database that is damaged may answer with an error, a panic, or a fault of
// memory that is mapped to no file any more: all of them are ErrDamaged.
func try(ctx context.Context, st storage.Extension, of Owner, name string, read func(storage.Client) error) (client storage.Client, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	if client, err = st.GetClient(ctx, of.Kind, of.ID, name); err != nil {
		for _, damage := range []error{bbolt.ErrInvalid, bbolt.ErrVersionMismatch, bbolt.ErrChecksum} {
			if errors.Is(err, damage) {
				return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		return nil, err
	}
	if err := read(client); err != nil {
		return nil, errors.Join(fmt.Errorf("read: %w", err), client.Close(ctx))
	}
	return client, nil
}
