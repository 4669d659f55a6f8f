// Command clientgo does what controllers do, and says so line by line, so that a test can wait for a line.
//
//	clientgo CONTEXT informer NAMESPACE GROUP VERSION RESOURCE   "synced", then "add NAME", "update NAME", "delete NAME"
//	clientgo CONTEXT elect NAMESPACE LEASE IDENTITY              "leading IDENTITY" when it leads, "lost IDENTITY" when no longer
//	clientgo CONTEXT exec spdy|websocket|fallback POD COMMAND…   stdin, stdout, stderr and the exit code of the command
//	clientgo CONTEXT content TYPE NAMESPACE NAME                 creates, lists, watches a ConfigMap; the content types seen
//
// The kubeconfig is $KUBECONFIG.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/remotecommand"
	exec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

var verbs = map[string]func(context.Context, *rest.Config, []string) error{
	"informer": informer, "elect": elect, "exec": execute, "content": content,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		var exit exec.CodeExitError
		if errors.As(err, &exit) {
			os.Exit(exit.Code)
		}
		fmt.Fprintln(os.Stderr, "clientgo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 || verbs[arguments[1]] == nil {
		return errors.New("usage: clientgo CONTEXT informer|elect|exec|content …")
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: arguments[0]}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return err
	}
	return verbs[arguments[1]](ctx, config, arguments[2:])
}

var printing sync.Mutex

func say(format string, values ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Printf(format+"\n", values...)
}

func name(object any) string {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	if meta, ok := object.(metav1.Object); ok {
		return meta.GetName()
	}
	return "?"
}

func informer(ctx context.Context, config *rest.Config, arguments []string) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	resource := schema.GroupVersionResource{Group: arguments[1], Version: arguments[2], Resource: arguments[3]}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, arguments[0], nil)
	shared := factory.ForResource(resource).Informer()
	if err := shared.SetWatchErrorHandler(func(_ *cache.Reflector, err error) { say("error %v", err) }); err != nil {
		return err
	}
	version := func(object any) string { return object.(*unstructured.Unstructured).GetResourceVersion() }
	if _, err := shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { say("add %s", name(object)) },
		UpdateFunc: func(before, after any) {
			if version(before) != version(after) {
				say("update %s", name(after))
			}
		},
		DeleteFunc: func(object any) { say("delete %s", name(object)) },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), shared.HasSynced) {
		return errors.New("not synced")
	}
	say("synced")
	<-ctx.Done()
	return nil
}

func elect(ctx context.Context, config *rest.Config, arguments []string) error {
	identity := arguments[2]
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, arguments[0], arguments[1],
		resourcelock.ResourceLockConfig{Identity: identity}, config, 4*time.Second)
	if err != nil {
		return err
	}
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: 500 * time.Millisecond,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { say("leading %s", identity) },
			OnStoppedLeading: func() { say("lost %s", identity) },
		},
	})
	return nil
}

func execute(ctx context.Context, config *rest.Config, arguments []string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	target := client.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name(arguments[1]).
		SubResource("exec").VersionedParams(&corev1.PodExecOptions{
		Command: arguments[2:], Stdin: true, Stdout: true, Stderr: true,
	}, scheme.ParameterCodec).URL()
	executor, err := executorOf(arguments[0], config, target)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
}

func executorOf(protocol string, config *rest.Config, target *url.URL) (remotecommand.Executor, error) {
	websocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, target.String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, target)
	if err != nil {
		return nil, err
	}
	switch protocol {
	case "spdy":
		return spdy, nil
	case "websocket":
		return websocket, nil
	default:
		return remotecommand.NewFallbackExecutor(websocket, spdy, httpstream.IsUpgradeFailure)
	}
}

// noting says the content types of a request and its answer, as they cross the wire.
type noting struct{ next http.RoundTripper }

func (n noting) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := n.next.RoundTrip(request)
	if err == nil {
		say("%s %d %s -> %s", request.Method, answer.StatusCode, kind(request.Header), kind(answer.Header))
	}
	return answer, err
}

func kind(header http.Header) string {
	if found := header.Get("Content-Type"); found != "" {
		return strings.ReplaceAll(found, " ", "")
	}
	return "-"
}

func content(ctx context.Context, config *rest.Config, arguments []string) error {
	config.ContentType, config.AcceptContentTypes = arguments[0], arguments[0]
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return noting{next} })
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps(arguments[1])
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: arguments[2]}, BinaryData: map[string][]byte{"raw": {0, 1, 0xff}}}
	made, err := maps.Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if _, err := maps.List(ctx, metav1.ListOptions{}); err != nil {
		return err
	}
	watching, err := maps.Watch(ctx, metav1.SingleObject(metav1.ObjectMeta{Name: made.Name, ResourceVersion: made.ResourceVersion}))
	if err != nil {
		return err
	}
	defer watching.Stop()
	if err := maps.Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	event, open := <-watching.ResultChan()
	if !open || event.Type != watch.Deleted || name(event.Object) != made.Name {
		return fmt.Errorf("the watch said %v", event)
	}
	say("deleted %s", made.Name)
	return nil
}
