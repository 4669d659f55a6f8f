// Command idp is an OpenID provider for tests: a certified library's, with users, groups, lifetimes and keys as a test says.
//
// It prints its issuer and serves until its standard input ends. POST /control takes {users, lifetimeS, rotate, keepOld,
// endLogins}; GET /control tells how many grants of each type were asked for.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// clientID is a public client for code with PKCE, refresh and device codes; it is the audience of ID tokens.
const clientID = "skerry"

type user struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Password      string   `json:"password"`
	Email         string   `json:"email"`
	EmailVerified bool     `json:"emailVerified"`
	Groups        []string `json:"groups"`
}

// key is one signing key with its public half.
type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k key) ID() string                                  { return k.id }
func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k key) Key() any                                    { return k.private }

type published struct{ key }

func (p published) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p published) Use() string                        { return "sig" }
func (p published) Key() any                           { return &p.private.PublicKey }

// provider is the library's own example storage but for what a test says.
type provider struct {
	*storage.Storage
	mu       sync.Mutex
	users    map[string]user
	lifetime time.Duration
	keys     []key // the last one signs
	grants   map[string]int
}

func (p *provider) GetUserByID(id string) *storage.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	return known(p.users[id])
}

func (p *provider) GetUserByUsername(name string) *storage.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, each := range p.users {
		if each.Name == name {
			return known(each)
		}
	}
	return nil
}

func (p *provider) ExampleClientID() string { return storage.ServiceUserID }

func known(u user) *storage.User {
	if u.ID == "" {
		return nil
	}
	return &storage.User{ID: u.ID, Username: u.Name, Password: u.Password, Email: u.Email, EmailVerified: u.EmailVerified}
}

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1], nil
}

func (p *provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := make([]op.Key, 0, len(p.keys))
	for _, each := range p.keys {
		set = append(set, published{each})
	}
	return set, nil
}

// SetUserinfoFromRequest adds the user's groups to ID tokens.
func (p *provider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, token op.IDTokenRequest, scopes []string) error {
	if err := p.Storage.SetUserinfoFromRequest(ctx, info, token, scopes); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	info.AppendClaims("groups", p.users[token.GetSubject()].Groups)
	return nil
}

// client has the lifetime that a test says, and its ID tokens carry the user's claims.
type client struct {
	op.Client
	lifetime time.Duration
}

func (c client) IDTokenLifetime() time.Duration       { return c.lifetime }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeDeviceCode}
}

func (p *provider) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	found, err := p.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return client{found, p.lifetime}, nil
}

func (p *provider) rotate(keepOld bool) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	if !keepOld {
		p.keys = nil
	}
	p.keys = append(p.keys, key{fmt.Sprintf("k%d", time.Now().UnixNano()), private})
	return nil
}

// control changes what a test says; absent fields stay as they are.
func (p *provider) control(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		Users     []user  `json:"users"`
		LifetimeS float64 `json:"lifetimeS"`
		Rotate    bool    `json:"rotate"`
		KeepOld   bool    `json:"keepOld"`
		EndLogins bool    `json:"endLogins"`
	}
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if wanted.EndLogins {
		for id := range p.users {
			if err := p.TerminateSession(r.Context(), id, clientID); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	}
	if wanted.Users != nil {
		p.users = map[string]user{}
		for _, each := range wanted.Users {
			p.users[each.ID] = each
		}
	}
	if wanted.LifetimeS > 0 {
		p.lifetime = time.Duration(wanted.LifetimeS * float64(time.Second))
	}
	if wanted.Rotate {
		if err := p.rotate(wanted.KeepOld); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// asked tells how many grants of each type were asked for.
func (p *provider) asked(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = json.NewEncoder(w).Encode(p.grants)
}

// counted counts grants.
func (p *provider) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if grant := r.PostFormValue("grant_type"); r.Method == http.MethodPost && grant != "" {
			p.mu.Lock()
			p.grants[grant]++
			p.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	issuer := "http://" + listener.Addr().String()
	storage.RegisterClients(storage.NativeClient(clientID, "http://127.0.0.1/callback"))
	p := &provider{users: map[string]user{}, lifetime: time.Hour, grants: map[string]int{}}
	p.Storage = storage.NewStorage(p)
	if err := p.rotate(false); err != nil {
		log.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /control", p.control)
	mux.HandleFunc("GET /control", p.asked)
	mux.Handle("/", p.counted(exampleop.SetupServer(issuer, p, quiet, false)))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // who started it has gone
		os.Exit(0)
	}()
	fmt.Println(issuer)
	log.Fatal(server.Serve(listener))
}
