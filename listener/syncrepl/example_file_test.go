package syncrepl_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"

	"github.com/listenerd/listenerd/listener/syncrepl"
)

// fileStore is a sink that keeps the DN of each entry, and the cookie, in a file. The
// two are written together: a cookie without what it stands for would lose changes.
type fileStore struct {
	path    string
	content content

	mentioned map[string]bool // in the refresh
	changed   bool            // since the last Flush
}

type content struct {
	Cookie []byte            `json:"cookie"`
	DNs    map[string]string `json:"dns"` // by UUID
}

func openFileStore(path string) (*fileStore, error) {
	f := &fileStore{path: path, content: content{DNs: map[string]string{}}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	return f, json.Unmarshal(text, &f.content)
}

func (f *fileStore) Begin(context.Context, syncrepl.Session) ([]byte, error) {
	f.mentioned = map[string]bool{}
	return f.content.Cookie, nil
}

func (f *fileStore) Entry(_ context.Context, e *syncrepl.Entry) error {
	f.content.DNs[e.UUID.String()] = string(e.DN)
	f.mentioned[e.UUID.String()] = true
	f.changed = true
	return nil
}

func (f *fileStore) Present(_ context.Context, ids []syncrepl.UUID) error {
	for _, id := range ids {
		f.mentioned[id.String()] = true
	}
	return nil
}

func (f *fileStore) Delete(_ context.Context, ids []syncrepl.UUID) error {
	for _, id := range ids {
		delete(f.content.DNs, id.String())
	}
	f.changed = true
	return nil
}

func (f *fileStore) Sweep(context.Context) error {
	maps.DeleteFunc(f.content.DNs, func(id, _ string) bool { return !f.mentioned[id] })
	f.changed = true
	return nil
}

func (f *fileStore) RefreshDone(context.Context) error {
	f.mentioned = map[string]bool{} // of no use until the next Begin
	return nil
}

func (f *fileStore) Cookie(_ context.Context, cookie []byte) error {
	f.content.Cookie, f.changed = cookie, true
	return nil
}

func (f *fileStore) ResetCookie(ctx context.Context, cookie []byte, _ error) error {
	f.content.Cookie, f.changed = cookie, true
	return f.Flush(ctx)
}

// Flush replaces the file as a whole, so that there is always a complete one.
func (f *fileStore) Flush(context.Context) error {
	if !f.changed {
		return nil
	}
	text, err := json.Marshal(f.content)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(f.path), "")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // unless it was renamed
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), f.path); err != nil {
		return err
	}
	f.changed = false
	return nil
}

var _ syncrepl.Sink = (*fileStore)(nil)

// update brings the file up to date with the directory.
func update(ctx context.Context, cfg syncrepl.Config, path string) error {
	cfg.Mode = syncrepl.RefreshOnly
	consumer, err := syncrepl.New(cfg)
	if err != nil {
		return err
	}
	store, err := openFileStore(path)
	if err != nil {
		return err
	}
	return consumer.Run(ctx, store)
}

// A program keeps what it learned in a file of its own, together with the cookie, and
// asks for the differences the next time it is started.
func Example_fileStore() {
	err := update(context.Background(), syncrepl.Config{
		URIs: []string{"ldap://ldap.example.com"},
		Base: "dc=example,dc=com",
	}, "names.json")
	if err != nil {
		log.Fatal(err)
	}
}
