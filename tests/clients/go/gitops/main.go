// Command gitops does with a manifest what Flux and Argo CD do with it, by their own libraries, and says of each object what came of
// it: a word, kind and name.
//
//	gitops flux FILE    server-side apply, as kustomize-controller does: created, configured, unchanged
//	gitops argo FILE    what Argo CD would show, three ways and by a server-side dry run: Synced, OutOfSync. It writes nothing
//
// FILE is YAML or JSON, the kubeconfig is $KUBECONFIG.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const argo = "argocd-controller"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("usage: gitops flux|argo FILE")
	}
	text, err := os.ReadFile(arguments[1])
	if err != nil {
		return err
	}
	objects, err := utils.ReadObjects(bytes.NewReader(text))
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	cluster, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	switch arguments[0] {
	case "flux":
		return flux(ctx, cluster, objects)
	case "argo":
		return compare(ctx, cluster, objects)
	}
	return fmt.Errorf("%s is neither flux nor argo", arguments[0])
}

func flux(ctx context.Context, cluster client.Client, objects []*unstructured.Unstructured) error {
	poller := polling.NewStatusPoller(cluster, cluster.RESTMapper(), polling.Options{})
	owner := ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}
	manager := ssa.NewResourceManager(cluster, poller, owner)
	if err := normalize.UnstructuredList(objects); err != nil {
		return err
	}
	changes, err := manager.ApplyAllStaged(ctx, objects, ssa.DefaultApplyOptions())
	if err != nil {
		return err
	}
	for _, each := range changes.Entries {
		fmt.Println(each.Action, each.Subject)
	}
	return nil
}

// dryRunner asks the API server what an object would be.
type dryRunner struct{ cluster client.Client }

func (r dryRunner) Run(ctx context.Context, object *unstructured.Unstructured, manager string) (string, error) {
	copied := object.DeepCopy()
	options := []client.PatchOption{client.ForceOwnership, client.FieldOwner(manager), client.DryRunAll}
	if err := r.cluster.Patch(ctx, copied, client.Apply, options...); err != nil {
		return "", err
	}
	data, err := json.Marshal(copied)
	return string(data), err
}

func compare(ctx context.Context, cluster client.Client, objects []*unstructured.Unstructured) error {
	ways := map[string][]diff.Option{
		"three-way":   {},
		"server-side": {diff.WithServerSideDiff(true), diff.WithServerSideDryRunner(dryRunner{cluster}), diff.WithManager(argo), diff.WithIgnoreMutationWebhook(false)},
	}
	for _, object := range objects {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(object), live); err != nil {
			return err
		}
		for _, name := range []string{"three-way", "server-side"} {
			result, err := diff.Diff(object, live, append(ways[name], diff.WithNormalizer(diff.GetNoopNormalizer()))...)
			if err != nil {
				return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
			}
			word := "Synced"
			if result.Modified {
				word = "OutOfSync"
				fmt.Fprintf(os.Stderr, "%s\n%s\n", result.NormalizedLive, result.PredictedLive)
			}
			fmt.Println(word, object.GetKind(), object.GetName(), name)
		}
	}
	return nil
}
