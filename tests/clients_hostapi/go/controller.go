package main

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
)

// controllerCache prints the changes that controller-runtime's cache tells, which holds one label only; a name on standard
// input is read from that cache, an empty line lists it by an index.
func controllerCache(ctx context.Context, stop context.CancelFunc) {
	log.SetLogger(logr.Discard())
	selected := labels.SelectorFromSet(labels.Set{"cached": "yes"})
	held, err := cache.New(config(), cache.Options{DefaultLabelSelector: selected})
	must(err)
	must(held.IndexField(ctx, blank(), "title", func(found client.Object) []string {
		title, _, _ := unstructured.NestedString(found.(*unstructured.Unstructured).Object, "spec", "displayName")
		return []string{title}
	}))
	informer, err := held.GetInformer(ctx, blank())
	must(err)
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(found any) { told("add", found) },
		UpdateFunc: func(before, after any) { told("update", after) },
		DeleteFunc: func(found any) { told("delete", found) },
	})
	must(err)
	go func() { must(held.Start(ctx)) }()
	if !held.WaitForCacheSync(ctx) {
		fail("never synced")
	}
	say(map[string]any{"event": "synced"})
	commands(stop, func(title string) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		must(held.List(ctx, list, client.MatchingFields{"title": title}))
		names := []string{}
		for _, each := range list.Items {
			one := blank()
			must(held.Get(ctx, types.NamespacedName{Name: each.GetName()}, one))
			names = append(names, one.GetName())
		}
		say(map[string]any{"event": "list", "names": names})
	})
}

func blank() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	return object
}

// writer is controller-runtime's client with its lazy RESTMapper, which learns kinds from discovery.
func writer() client.Client {
	found := config()
	http, err := rest.HTTPClientFor(found)
	must(err)
	mapper, err := apiutil.NewDynamicRESTMapper(found, http)
	must(err)
	made, err := client.New(found, client.Options{HTTPClient: http, Mapper: mapper})
	must(err)
	return made
}
