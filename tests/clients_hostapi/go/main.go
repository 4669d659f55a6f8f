// hostclients talks to the host API as informers, controllers, Argo CD and Flux do, with the libraries that they use.
//
// Each mode prints lines of JSON; `informer` and `cache` run until their standard input ends. The kubeconfig is
// KUBECONFIG's current context. A mode that finds something wrong says so on stderr and exits with 1.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	resource = schema.GroupVersionResource{Group: "skerry.dev", Version: "v1alpha1", Resource: "workspaces"}
	kind     = schema.GroupVersionKind{Group: "skerry.dev", Version: "v1alpha1", Kind: "Workspace"}
	output   sync.Mutex
)

const deadline = 30 * time.Second

func say(line map[string]any) {
	output.Lock()
	defer output.Unlock()
	text, err := json.Marshal(line)
	must(err)
	fmt.Println(string(text))
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

func config() *rest.Config {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	found, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	must(err)
	found.QPS, found.Burst = 200, 400
	return found
}

// commands calls each for every line of standard input, and stop at its end.
func commands(stop context.CancelFunc, each func(string)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		each(lines.Text())
	}
	stop()
}

func main() {
	modes := map[string]func(context.Context, context.CancelFunc){
		"informer": informer,
		"cache":    controllerCache,
		"argo":     argo,
		"flux":     flux,
	}
	if len(os.Args) != 2 || modes[os.Args[1]] == nil {
		fail("usage: hostclients informer|cache|argo|flux")
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	modes[os.Args[1]](ctx, stop)
}
