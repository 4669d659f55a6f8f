// webhook answers AdmissionReviews (admission.k8s.io/v1) over TLS: ConfigMaps whose data.color is "forbidden" are denied, with the
// words of SAYS; all others are allowed. GET /ready is 200.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

type status struct {
	Message string `json:"message"`
}

type review struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Request    *struct {
		UID    string `json:"uid"`
		Object struct {
			Data map[string]string `json:"data"`
		} `json:"object"`
	} `json:"request,omitempty"`
	Response *response `json:"response,omitempty"`
}

type response struct {
	UID     string  `json:"uid"`
	Allowed bool    `json:"allowed"`
	Status  *status `json:"status,omitempty"`
}

func main() {
	http.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("POST /check", func(w http.ResponseWriter, r *http.Request) {
		var asked review
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<20)).Decode(&asked); err != nil || asked.Request == nil {
			http.Error(w, "no AdmissionReview", http.StatusBadRequest)
			return
		}
		answer := response{UID: asked.Request.UID, Allowed: asked.Request.Object.Data["color"] != "forbidden"}
		if !answer.Allowed {
			answer.Status = &status{Message: os.Getenv("SAYS")}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: &answer})
	})
	log.Fatal(http.ListenAndServeTLS(":8443", "/certs/tls.crt", "/certs/tls.key", nil))
}
