package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/identity"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make and check tokens of clients",
		Long: `Make and check tokens of clients: JSON Web Tokens as access.jwt believes them. For tests and for programs that have no library
for it; no server is asked, and no key is ever printed.`,
		RunE: needsCommand,
	}
	cmd.AddCommand(tokenMake(), tokenCheck())
	return cmd
}

// tokenFlags are what a token is made of.
type tokenFlags struct {
	identity.Bearer
	subscribe, publish, history []string
	data                        string
	expires                     time.Duration

	kid, key, secretFile, secretEnv string
}

func tokenMake() *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "make --sub PRINCIPAL",
		Short: "Make a token, and print it",
		Long: `Make a token, and print it; who it is for, its id and its end are said on stderr. It is signed with a private key in PEM (RS256,
ES256 or EdDSA, by what the key is), or with a secret of HS256, in base64 as access.jwt.keys has it. With any of --subscribe, --publish
and --history its bearer may use those topics and no others; '' grants none. A token that no server would believe is not made.`,
		Example: `  weir token make --sub alice --key private.pem --expires 15m --publish orders --subscribe 'prices*'
  weir token make --sub alice --secret-file jwt.secret --issuer https://login.example.com --audience feed
  openssl pkey -in encrypted.pem | weir token make --sub alice --key -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.make(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Principal, "sub", "", "the `PRINCIPAL`: who the token stands for")
	flags.StringArrayVar(&f.subscribe, "subscribe", nil, "grants subscribing to topics, by `PATTERN`; may be given again")
	flags.StringArrayVar(&f.publish, "publish", nil, "grants publishing to topics, by `PATTERN`; may be given again")
	flags.StringArrayVar(&f.history, "history", nil, "grants reading what topics were, by `PATTERN`; may be given again")
	flags.StringArrayVar(&f.Rooms, "room", nil, "a `ROOM` joined at connect; may be given again")
	flags.StringVar(&f.data, "data", "", "`JSON` for the application's handlers")
	flags.DurationVar(&f.expires, "expires", time.Hour, "how long it lives, such as 15m")
	flags.StringVar(&f.ID, "id", "", "its `ID`, the claim jti, by which it can be revoked (default: a random one)")
	flags.StringVar(&f.Issuer, "issuer", "", "the claim iss")
	flags.StringVar(&f.Audience, "audience", "", "the claim aud")
	flags.StringVar(&f.PrincipalClaim, "principal-claim", "sub", "the `CLAIM` that is the principal")
	flags.StringVar(&f.kid, "kid", "", "the `ID` of the key, so that a server with several finds it")
	flags.StringVar(&f.key, "key", "", "the private key in PEM, in `FILE`; '-' is stdin")
	flags.StringVar(&f.secretFile, "secret-file", "", "the secret of HS256 in base64, in `FILE`; '-' is stdin")
	flags.StringVar(&f.secretEnv, "secret-env", "", "the same in the environment variable `NAME`")
	return cmd
}

func (f *tokenFlags) make(cmd *cobra.Command) error {
	now := time.Now()
	switch {
	case f.Principal == "":
		return usagef("want --sub PRINCIPAL: who the token stands for")
	case f.expires < time.Second:
		return usagef("--expires %v: want a second or more", f.expires)
	case f.data != "" && !json.Valid([]byte(f.data)):
		return usagef("--data is not JSON: %.100q", f.data)
	}
	s, err := f.signer(cmd.InOrStdin())
	if err != nil {
		return err
	}
	if f.ID == "" {
		f.ID = rand.Text()
	}
	if f.Expires = now.Add(f.expires).Truncate(time.Second); f.data != "" {
		f.Data = json.RawMessage(f.data)
	}
	f.grant(cmd)
	token, err := s.Sign(&f.Bearer, now)
	if err != nil {
		return fmt.Errorf("not made: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "weir: a token of %s with the id %s, signed with %s, until %s\n", shown(f.Principal), shown(f.ID), s.Algorithm(), f.Expires.UTC().Format(time.RFC3339))
	_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
	return err
}

// grant takes over what was granted: a list that is there, and names nothing, grants nothing.
func (f *tokenFlags) grant(cmd *cobra.Command) {
	list := func(name string, given []string) []string {
		if !cmd.Flags().Changed(name) {
			return nil
		}
		patterns := []string{}
		for _, p := range given {
			if p != "" {
				patterns = append(patterns, p)
			}
		}
		return patterns
	}
	g := identity.Grants{Subscribe: list("subscribe", f.subscribe), Publish: list("publish", f.publish), History: list("history", f.history)}
	if g.Subscribe != nil || g.Publish != nil || g.History != nil {
		f.Grants = &g
	}
}

// maxKeyFile bounds what is read of a key, in bytes.
const maxKeyFile = 64 << 10

func (f *tokenFlags) signer(stdin io.Reader) (*identity.Signer, error) {
	given := 0
	for _, s := range []string{f.key, f.secretFile, f.secretEnv} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return nil, usagef("want exactly one of --key, --secret-file and --secret-env")
	}
	switch {
	case f.key != "":
		text, err := readKey(f.key, stdin)
		if err != nil {
			return nil, err
		}
		s, err := identity.NewSigner(f.kid, text)
		return s, about(f.key, err)
	case f.secretFile != "":
		text, err := readKey(f.secretFile, stdin)
		if err != nil {
			return nil, err
		}
		return f.secret(f.secretFile, string(text))
	}
	text, there := os.LookupEnv(f.secretEnv)
	if !there {
		return nil, usagef("--secret-env %s: there is no such variable", f.secretEnv)
	}
	return f.secret(f.secretEnv, text)
}

// secret is a signer of HS256. What is wrong with a secret is said without any of it.
func (f *tokenFlags) secret(where, text string) (*identity.Signer, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, about(where, errors.New("is not base64: 'openssl rand -base64 32' makes one"))
	}
	s, err := identity.NewSecretSigner(f.kid, secret)
	return s, about(where, err)
}

func about(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", where, err)
}

// readKey reads a file, or stdin, as far as a key may go.
func readKey(name string, stdin io.Reader) ([]byte, error) {
	r := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		r = f
	}
	text, err := io.ReadAll(io.LimitReader(r, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case len(text) > maxKeyFile:
		return nil, fmt.Errorf("%s: more than %d bytes, which is no key", name, maxKeyFile)
	}
	return text, nil
}

// checkTimeout bounds a check, which may have to fetch keys.
const checkTimeout = 15 * time.Second

func tokenCheck() *cobra.Command {
	var f fileFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check TOKEN --config FILE",
		Short: "Say who a token stands for and what it grants, or why it is refused",
		Long: `Say who a token stands for, what it grants and when it ends, as a server with that configuration would take it; or which check
fails, with exit code 1. TOKEN may be '-' for stdin, which keeps it out of the list of processes. Keys at a URL (access.jwt.jwksUrl) are
fetched. What was revoked at run time only the server knows.`,
		Example: `  weir token check "$TOKEN" --config weir.yaml
  weir token make --sub alice --key private.pem | weir token check - --config weir.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.path == "" {
				return usagef("token check needs --config FILE: it says which tokens are believed")
			}
			token := args[0]
			if token == "-" {
				text, err := readKey("-", cmd.InOrStdin())
				if err != nil {
					return err
				}
				token = strings.TrimSpace(string(text))
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), checkTimeout)
			defer cancel()
			return checkToken(ctx, f, token, asJSON, streams{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()})
		},
	}
	cmd.Flags().StringVarP(&f.path, "config", "c", "", "the configuration `FILE`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
