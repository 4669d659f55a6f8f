// Asks the API server's own resolver what requests mean: lines "METHOD target" in, JSON lines out.
//
// It made table.jsonl from cases.txt. To make it again, put this file into a directory of the Go module in tests/kube
// and run: go run . < cases.txt > table.jsonl
package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/server/filters"
)

func main() {
	resolver := &request.RequestInfoFactory{
		APIPrefixes:          sets.NewString("api", "apis"),
		GrouplessAPIPrefixes: sets.NewString("api"),
	}
	// As in k8s.io/kubernetes/pkg/controlplane/apiserver/config.go.
	longRunning := filters.BasicLongRunningRequestCheck(
		sets.NewString("watch", "proxy"),
		sets.NewString("attach", "exec", "proxy", "log", "portforward"),
	)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		method, target, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			continue
		}
		row := map[string]any{"method": method, "target": target}
		// As net/http reads a request line: `//x` is a path there, not an authority.
		url, err := url.ParseRequestURI(target)
		if err == nil {
			req := &http.Request{Method: method, URL: url}
			var info *request.RequestInfo
			info, err = resolver.NewRequestInfo(req)
			if err == nil {
				row["info"] = info
				row["longRunning"] = longRunning(req, info)
			}
		}
		if err != nil {
			row["error"] = err.Error()
		}
		if err := out.Encode(row); err != nil {
			panic(err)
		}
	}
}
