// Gopeer is what Skerry's data plane is measured against: the shape of Rancher's, on the same library.
//
//	gopeer serve   TLS in front; checks a bearer token, strips identity headers, sets Impersonate-*, and proxies to the
//	               member's API server with TLS through the tunnel (pooled connections, dialled by remotedialer)
//	gopeer agent   connects out by WebSocket over TLS and dials the API server for whoever asks on the other end
//
// Rancher's proxy uses an http.Transport without further settings, which keeps two idle connections to an API server;
// -idle 2 is that, and a larger number shows the library at its best.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rancher/remotedialer"
	"github.com/sirupsen/logrus"
)

const (
	clusterHeader = "X-Gopeer-Cluster"
	tokenHeader   = "X-Gopeer-Token"
)

type options struct {
	listen, certificate, key, ca string
	upstream, upstreamCA         string
	clientCertificate, clientKey string
	token, agentToken, cluster   string
	server                       string
	idle                         int
}

func main() {
	logrus.SetOutput(io.Discard)
	if len(os.Args) < 2 {
		log.Fatal("usage: gopeer serve|agent [flags]")
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "address of the front")
	flags.StringVar(&o.certificate, "certificate", "", "PEM file of the front")
	flags.StringVar(&o.key, "key", "", "PEM file of the front")
	flags.StringVar(&o.ca, "ca", "", "PEM file that the agent trusts")
	flags.StringVar(&o.upstream, "upstream", "", "https://host:port of the member's API server")
	flags.StringVar(&o.upstreamCA, "upstream-ca", "", "PEM file")
	flags.StringVar(&o.clientCertificate, "client-certificate", "", "PEM file: who we are to the API server")
	flags.StringVar(&o.clientKey, "client-key", "", "PEM file")
	flags.StringVar(&o.server, "server", "", "host:port of the front, for the agent")
	flags.IntVar(&o.idle, "idle", 2, "idle connections to the API server that are kept")
	flags.StringVar(&o.cluster, "cluster", "m1", "the member's name")
	if err := flags.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	o.token, o.agentToken = os.Getenv("GOPEER_TOKEN"), os.Getenv("GOPEER_AGENT_TOKEN")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(ctx, o)
	case "agent":
		err = agent(ctx, o)
	default:
		err = fmt.Errorf("unknown command %q", os.Args[1])
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, o options) error {
	if o.token == "" || o.agentToken == "" {
		return errors.New("GOPEER_TOKEN and GOPEER_AGENT_TOKEN must be set")
	}
	tunnel := remotedialer.New(func(r *http.Request) (string, bool, error) {
		return r.Header.Get(clusterHeader), same(r.Header.Get(tokenHeader), o.agentToken), nil
	}, remotedialer.DefaultErrorWriter)
	proxy, err := member(tunnel, o)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connect", tunnel)
	mux.Handle("/clusters/"+o.cluster+"/", authenticated(o.token, http.StripPrefix("/clusters/"+o.cluster, proxy)))
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	front := &http.Server{
		Handler:      mux,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 on all sides, as on ours
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	go func() {
		<-ctx.Done()
		_ = front.Close()
	}()
	err = front.ServeTLS(listener, o.certificate, o.key)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// member is the reverse proxy to the API server, through the tunnel.
func member(tunnel *remotedialer.Server, o options) (http.Handler, error) {
	target, err := url.Parse(o.upstream)
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(o.clientCertificate, o.clientKey)
	if err != nil {
		return nil, err
	}
	pool, err := trust(o.upstreamCA)
	if err != nil {
		return nil, err
	}
	dial := tunnel.Dialer(o.cluster)
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dial(ctx, network, address)
			},
			TLSClientConfig:     &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
			MaxIdleConnsPerHost: o.idle,
			MaxIdleConns:        o.idle,
			IdleConnTimeout:     60 * time.Second,
			DisableCompression:  true,
		},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			for name := range r.Out.Header {
				if strings.HasPrefix(name, "Impersonate-") {
					r.Out.Header.Del(name)
				}
			}
			r.Out.Header.Del("Authorization")
			r.Out.Header.Set("Impersonate-User", "gopeer:admin")
			r.Out.Header.Add("Impersonate-Group", "system:masters")
			r.Out.Header.Add("Impersonate-Group", "system:authenticated")
			r.SetXForwarded()
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}, nil
}

func authenticated(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer || !same(sent, token) {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// same compares in constant time, whatever the lengths.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func agent(ctx context.Context, o options) error {
	pool, err := trust(o.ca)
	if err != nil {
		return err
	}
	target, err := url.Parse(o.upstream)
	if err != nil {
		return err
	}
	headers := http.Header{clusterHeader: {o.cluster}, tokenHeader: {o.agentToken}}
	dialer := &websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: pool}, HandshakeTimeout: 10 * time.Second}
	allowed := func(network, address string) bool { return network == "tcp" && address == target.Host }
	connected := func(context.Context, *remotedialer.Session) error { fmt.Println("connected"); return nil }
	return remotedialer.ConnectToProxy(ctx, "wss://"+o.server+"/connect", headers, allowed, dialer, connected)
}

func trust(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return pool, nil
}
