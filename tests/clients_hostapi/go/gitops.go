package main

import (
	"context"
	"encoding/json"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/kube-openapi/pkg/util/proto"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func wanted(name, title string, labels map[string]string) *unstructured.Unstructured {
	object := blank()
	object.SetName(name)
	object.SetLabels(labels)
	must(unstructured.SetNestedField(object.Object, title, "spec", "displayName"))
	own := []any{map[string]any{"cluster": "m1", "name": "shop"}}
	must(unstructured.SetNestedSlice(object.Object, own, "spec", "namespaces"))
	must(unstructured.SetNestedStringSlice(object.Object, []string{"m1"}, "spec", "clusters", "names"))
	return object
}

func title(object *unstructured.Unstructured) string {
	found, _, _ := unstructured.NestedString(object.Object, "spec", "displayName")
	return found
}

func managers(object *unstructured.Unstructured) map[string]string {
	found := map[string]string{}
	for _, each := range object.GetManagedFields() {
		found[each.Manager] = string(each.Operation)
	}
	return found
}

func gone(ctx context.Context, look func() error) {
	end := time.Now().Add(deadline)
	for time.Now().Before(end) {
		if err := look(); apierrors.IsNotFound(err) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	fail("a pruned object is still there")
}

// argo does what Argo CD's sync does with server-side apply: types from the OpenAPI v2 document, a dry run to compare
// with, an apply by force, a look at which fields are whose, and pruning of what carries its label but is wanted no more.
func argo(ctx context.Context, stop context.CancelFunc) {
	const manager, label = "argocd-controller", "argocd.argoproj.io/instance"
	cfg := config()
	finder, err := discovery.NewDiscoveryClientForConfig(cfg)
	must(err)
	document, err := finder.OpenAPISchema()
	must(err)
	models, err := proto.NewOpenAPIData(document)
	must(err)
	parser, err := managedfields.NewGVKParser(models, false)
	must(err)
	typed := parser.Type(kind)
	if typed == nil {
		fail("the OpenAPI document has no type for %v", kind)
	}
	api, err := dynamic.NewForConfig(cfg)
	must(err)
	workspaces := api.Resource(resource)
	forced := metav1.ApplyOptions{FieldManager: manager, Force: true}

	// A person made it before, with fields that then change hands by force.
	own := map[string]string{label: "app"}
	_, err = workspaces.Create(ctx, wanted("argo-a", "by hand", nil), metav1.CreateOptions{FieldManager: "kubectl-create"})
	must(err)
	dry := forced
	dry.DryRun = []string{metav1.DryRunAll}
	predicted, err := workspaces.Apply(ctx, "argo-a", wanted("argo-a", "by git", own), dry)
	must(err)
	live, err := workspaces.Get(ctx, "argo-a", metav1.GetOptions{})
	must(err)
	if title(live) != "by hand" || title(predicted) != "by git" {
		fail("dry run: live %q, predicted %q", title(live), title(predicted))
	}
	before, err := typed.FromUnstructured(live.Object)
	must(err)
	after, err := typed.FromUnstructured(predicted.Object)
	must(err)
	if difference, err := before.Compare(after); err != nil || difference.IsSame() {
		fail("no difference found: %v", err)
	}
	for _, name := range []string{"argo-a", "argo-b", "argo-c"} {
		_, err = workspaces.Apply(ctx, name, wanted(name, "by git", own), forced)
		must(err)
	}
	live, err = workspaces.Get(ctx, "argo-a", metav1.GetOptions{})
	must(err)
	if title(live) != "by git" || managers(live)[manager] != "Apply" {
		fail("applied: %q by %v", title(live), managers(live))
	}
	version := live.GetResourceVersion()
	again, err := workspaces.Apply(ctx, "argo-a", wanted("argo-a", "by git", own), forced)
	must(err)
	if again.GetResourceVersion() != version {
		fail("an apply that changes nothing moved the resourceVersion from %s to %s", version, again.GetResourceVersion())
	}

	// argo-b and argo-c are wanted no more.
	found, err := workspaces.List(ctx, metav1.ListOptions{LabelSelector: label + "=app"})
	must(err)
	if len(found.Items) != 3 {
		fail("%d objects carry the label", len(found.Items))
	}
	foreground := metav1.DeletePropagationForeground
	for _, each := range found.Items {
		if each.GetName() == "argo-a" {
			continue
		}
		uid := each.GetUID()
		must(workspaces.Delete(ctx, each.GetName(), metav1.DeleteOptions{
			PropagationPolicy: &foreground,
			Preconditions:     &metav1.Preconditions{UID: &uid},
		}))
		gone(ctx, func() error { _, err := workspaces.Get(ctx, each.GetName(), metav1.GetOptions{}); return err })
	}
	say(map[string]any{"event": "synced", "managers": managers(live)})
}

// flux does what Flux's kustomize-controller does: a dry-run apply to find drift, an apply by force only where there is
// some, ownership taken over from kubectl by a patch of managedFields, and pruning of its inventory.
func flux(ctx context.Context, stop context.CancelFunc) {
	const manager = "kustomize-controller"
	api := writer()
	own := map[string]string{"kustomize.toolkit.fluxcd.io/name": "app"}
	owner, force := client.FieldOwner(manager), client.ForceOwnership
	get := func(name string) *unstructured.Unstructured {
		found := blank()
		must(api.Get(ctx, types.NamespacedName{Name: name}, found))
		return found
	}
	must(api.Create(ctx, wanted("flux-a", "by hand", nil), client.FieldOwner("kubectl-client-side-apply")))

	// Drift.
	dry := wanted("flux-a", "by git", own)
	must(api.Patch(ctx, dry, client.Apply, client.DryRunAll, owner, force))
	if reflect.DeepEqual(dry.Object["spec"], get("flux-a").Object["spec"]) {
		fail("no drift was seen")
	}

	// What kubectl owned becomes ours: a JSON patch that names the version it is made for.
	live := get("flux-a")
	entries := live.GetManagedFields()
	for i := range entries {
		if entries[i].Manager == "kubectl-client-side-apply" {
			entries[i].Manager, entries[i].Operation = manager, metav1.ManagedFieldsOperationApply
		}
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": entries},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
	})
	must(err)
	must(api.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch), owner))
	if found := managers(get("flux-a")); len(found) != 1 || found[manager] != "Apply" {
		fail("ownership was not taken over: %v", found)
	}
	for _, name := range []string{"flux-a", "flux-b"} {
		must(api.Patch(ctx, wanted(name, "by git", own), client.Apply, owner, force))
	}
	version := get("flux-a").GetResourceVersion()
	dry = wanted("flux-a", "by git", own)
	must(api.Patch(ctx, dry, client.Apply, client.DryRunAll, owner, force))
	if !reflect.DeepEqual(dry.Object["spec"], get("flux-a").Object["spec"]) || dry.GetResourceVersion() != version {
		fail("drift where there is none")
	}

	// A field left out of the next apply is removed, because it was ours alone.
	bare := wanted("flux-a", "by git", own)
	unstructured.RemoveNestedField(bare.Object, "spec", "displayName")
	must(api.Patch(ctx, bare, client.Apply, owner, force))
	if title(get("flux-a")) != "" {
		fail("a field that was given up is still there: %q", title(get("flux-a")))
	}

	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	must(api.List(ctx, list, client.MatchingLabels(own)))
	for i := range list.Items {
		each := &list.Items[i]
		must(api.Delete(ctx, each, client.PropagationPolicy(metav1.DeletePropagationBackground)))
		gone(ctx, func() error { return api.Get(ctx, client.ObjectKeyFromObject(each), blank()) })
	}
	say(map[string]any{"event": "synced", "pruned": len(list.Items)})
}
