package watch_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/leaks"
	"github.com/streamweir/weir/internal/watch"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// start watches paths and returns a channel that holds what the file named first had each time it was looked at.
func start(t *testing.T, every time.Duration, paths ...string) <-chan string {
	t.Helper()
	looks := make(chan string, 1000)
	w := watch.New(watch.Options{
		Paths: paths, Every: every, Settle: time.Millisecond,
		Look: func() {
			b, _ := os.ReadFile(paths[0])
			select {
			case looks <- string(b):
			default:
			}
		},
		Blind: func(err error) { t.Errorf("blind: %v", err) },
	})
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(done) })
	t.Cleanup(func() {
		close(done)
		wg.Wait()
	})
	<-looks // it watches
	return looks
}

func wantLook(t *testing.T, looks <-chan string, content string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case got := <-looks:
			if got == content {
				return
			}
		case <-late:
			t.Fatalf("nobody looked at %q", content)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileWrittenInPlaceIsLookedAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cert.pem")
	write(t, path, "one")
	looks := start(t, time.Hour, path)
	write(t, path, "two")
	wantLook(t, looks, "two")
}

func TestFilePutInThePlaceOfAnotherIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cert.pem")
	write(t, path, "one")
	looks := start(t, time.Hour, path)
	for _, content := range []string{"two", "three"} {
		write(t, filepath.Join(dir, "new"), content)
		if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
			t.Fatal(err)
		}
		wantLook(t, looks, content)
	}
}

// Kubernetes mounts tls.crt -> ..data/tls.crt, ..data -> ..2026_11_30, and swaps ..data.
func TestLinksThatKubernetesSwapsAreLookedAt(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "tls.crt"), content)
		link := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(name, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "one")
	path := filepath.Join(dir, "tls.crt")
	if err := os.Symlink("..data/tls.crt", path); err != nil {
		t.Fatal(err)
	}
	looks := start(t, time.Hour, path)
	for name, content := range map[string]string{"..2": "two", "..3": "three"} {
		version(name, content)
		wantLook(t, looks, content)
	}
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil { // as Kubernetes does: no more than a look
		t.Fatal(err)
	}
}

// certbot's live/x/cert.pem is a link to archive/x/cert1.pem, which somebody may write in place.
func TestFileBehindALinkIsLookedAt(t *testing.T) {
	archive, live := t.TempDir(), t.TempDir()
	path := filepath.Join(live, "cert.pem")
	write(t, filepath.Join(archive, "1"), "one")
	if err := os.Symlink(filepath.Join(archive, "1"), path); err != nil {
		t.Fatal(err)
	}
	looks := start(t, time.Hour, path)
	write(t, filepath.Join(archive, "1"), "two")
	wantLook(t, looks, "two")
}

func TestFilesAreLookedAtWhateverTheSystemTells(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cert.pem")
	write(t, path, "one")
	looks := start(t, time.Millisecond, path)
	for range 3 {
		wantLook(t, looks, "one")
	}
}
