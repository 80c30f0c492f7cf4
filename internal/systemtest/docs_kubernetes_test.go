package systemtest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/streamweir/weir/internal/config"
)

// manifest is what the test looks at of the objects in deploy/kubernetes.
type manifest struct {
	Kind string
	Data map[string]string
	Spec struct {
		Ports []struct {
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct {
				Labels, Annotations map[string]string
			}
			Spec pod
		}
	}
}

type pod struct {
	TerminationGracePeriodSeconds int64 `yaml:"terminationGracePeriodSeconds"`
	Containers                    []struct {
		Ports []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		Env            []struct{ Name string }
		StartupProbe   probe `yaml:"startupProbe"`
		ReadinessProbe probe `yaml:"readinessProbe"`
		LivenessProbe  probe `yaml:"livenessProbe"`
		Lifecycle      struct {
			PreStop struct{ Sleep struct{ Seconds int64 } } `yaml:"preStop"`
		}
	}
}

type probe struct {
	HTTPGet question `yaml:"httpGet"`
}

type question struct{ Path, Port string }

// The manifest that users begin with fits together: its configuration loads, listens where the pod says, answers the
// probes that are asked, and leaves within the time it is given.
func TestKubernetesManifestFitsTogether(t *testing.T) {
	byKind := map[string][]manifest{}
	for d := yaml.NewDecoder(bytes.NewReader([]byte(read(t, "deploy/kubernetes/weir.yaml")))); ; {
		var m manifest
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		byKind[m.Kind] = append(byKind[m.Kind], m)
	}
	if len(byKind["ConfigMap"]) != 1 || len(byKind["Deployment"]) != 1 || len(byKind["Service"]) != 2 || len(byKind["NetworkPolicy"]) != 1 {
		t.Fatalf("objects: %d of each kind: %v", len(byKind), byKind)
	}
	src := byKind["ConfigMap"][0].Data["weir.yaml"]
	c, err := config.Parse("weir.yaml", []byte(src), config.LoadOptions{Environ: []string{"API_KEY=0123456789abcdef0123456789abcdef"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.Warnings {
		t.Errorf("warning: %v", w)
	}
	of := byKind["Deployment"][0].Spec.Template
	box := of.Spec.Containers[0]
	ports := map[string]int{}
	for _, p := range box.Ports {
		ports[p.Name] = p.ContainerPort
	}
	o := &c.Options
	for name, addr := range map[string]string{"public": o.Servers[0].Addr, "management": o.Management.Addr, "probes": o.Management.Probes} {
		if _, port, err := net.SplitHostPort(addr); err != nil || port != strconv.Itoa(ports[name]) {
			t.Errorf("%s is on %s, and the pod says %d", name, addr, ports[name])
		}
	}
	if of.Metadata.Annotations["prometheus.io/port"] != "9394" || ports["probes"] != 9394 {
		t.Error("Prometheus is sent to another port than that of the probes")
	}
	ready, alive := question{"/readyz", "probes"}, question{"/healthz", "probes"}
	if box.ReadinessProbe.HTTPGet != ready || box.LivenessProbe.HTTPGet != alive || box.StartupProbe.HTTPGet != alive {
		t.Errorf("the probes ask %+v, %+v, %+v", box.ReadinessProbe, box.LivenessProbe, box.StartupProbe)
	}
	for _, s := range byKind["Service"] {
		for _, p := range s.Spec.Ports {
			if _, ok := ports[p.TargetPort]; !ok {
				t.Errorf("a service leads to port %q, which the pod does not have", p.TargetPort)
			}
		}
	}
	const linger = 15 // of a drain, for who never asks for its last packets
	if takes := box.Lifecycle.PreStop.Sleep.Seconds + int64(o.Drain.Timeout/time.Second) + linger; of.Spec.TerminationGracePeriodSeconds <= takes {
		t.Errorf("leaving takes up to %d s, and the pod is given %d", takes, of.Spec.TerminationGracePeriodSeconds)
	}
	given := map[string]bool{}
	for _, e := range box.Env {
		given[e.Name] = true
	}
	for _, m := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(src, -1) {
		if !given[m[1]] {
			t.Errorf("the configuration asks for %s, which the pod does not have", m[1])
		}
	}
}
