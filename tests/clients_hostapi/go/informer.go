package main

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// informer prints every change of a dynamic shared informer on workspaces, and its store when it is asked for `store`.
func informer(ctx context.Context, stop context.CancelFunc) {
	client, err := dynamic.NewForConfig(config())
	must(err)
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	shared := factory.ForResource(resource).Informer()
	must(shared.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		expired := apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
		say(map[string]any{"event": "error", "expired": expired, "message": err.Error()})
	}))
	_, err = shared.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(found any) { told("add", found) },
		UpdateFunc: func(before, after any) { told("update", after) },
		DeleteFunc: func(found any) {
			if last, unseen := found.(cache.DeletedFinalStateUnknown); unseen {
				found = last.Obj
			}
			told("delete", found)
		},
	})
	must(err)
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), shared.HasSynced) {
		fail("never synced")
	}
	say(map[string]any{"event": "synced"})
	commands(stop, func(line string) {
		held := map[string]string{}
		for _, each := range shared.GetStore().List() {
			object := each.(*unstructured.Unstructured)
			held[object.GetName()] = object.GetResourceVersion()
		}
		say(map[string]any{"event": line, "items": held, "last": shared.LastSyncResourceVersion()})
	})
}

func told(event string, found any) {
	object := found.(*unstructured.Unstructured)
	say(map[string]any{"event": event, "name": object.GetName(), "revision": object.GetResourceVersion()})
}
