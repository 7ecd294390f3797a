// A client of SubscribeToShard, the Go SDK's: commands on standard input, what came on standard
// output. README.md beside this folder tells both formats.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

type command struct {
	id, mode, endpoint, consumer, shard, position, number string
}

type child struct {
	Shard   string   `json:"shard"`
	Parents []string `json:"parents"`
	First   string   `json:"first"`
	Last    string   `json:"last"`
}

type line struct {
	ID           string      `json:"id"`
	Event        string      `json:"event"`
	Protocol     string      `json:"protocol,omitempty"`
	Records      [][3]string `json:"records,omitempty"`
	Continuation *string     `json:"continuation"`
	Behind       *int64      `json:"behind"`
	Children     []child     `json:"children"`
	Where        string      `json:"where,omitempty"`
	Type         string      `json:"type,omitempty"`
	Message      string      `json:"message,omitempty"`
}

var (
	output sync.Mutex
	pool   *x509.CertPool
)

func say(l line) {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

// The error's Go type as the SDK gives it: *types.X is one that the SDK knows.
func failed(id, where string, err error) {
	l := line{ID: id, Event: "error", Where: where, Message: err.Error(), Type: fmt.Sprintf("%T", err)}
	var known smithy.APIError
	if errors.As(err, &known) {
		l.Type = strings.TrimPrefix(fmt.Sprintf("%T", known), "*types.")
		l.Message = known.ErrorMessage()
	}
	say(l)
}

// Notes which protocol the answer came in.
type watcher struct {
	inner    http.RoundTripper
	protocol string
}

func (w *watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.inner.RoundTrip(r)
	if answer != nil {
		w.protocol = answer.Proto
	}
	return answer, err
}

func (w *watcher) Do(r *http.Request) (*http.Response, error) {
	return (&http.Client{Transport: w}).Do(r)
}

// No mode of HTTP/1.1 alone: the service has none for this operation, and the SDK closes the body of a
// request that is answered at once while net/http still looks whether more of it comes, at which the
// connection is closed.
func transport(mode string) *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	if mode == "tls" { // both are offered, the server chooses
		t.Protocols.SetHTTP1(true)
		t.Protocols.SetHTTP2(true)
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	} else { // "clear": HTTP/2 by prior knowledge
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return t
}

func subscribe(c command) {
	w := &watcher{inner: transport(c.mode)}
	client := kinesis.New(kinesis.Options{
		Region:           "us-east-1",
		BaseEndpoint:     aws.String(c.endpoint),
		Credentials:      credentials.NewStaticCredentialsProvider("local", "local-secret", ""),
		HTTPClient:       w,
		RetryMaxAttempts: 1,
	})
	start := &types.StartingPosition{Type: types.ShardIteratorType(c.position)}
	if c.number != "" {
		start.SequenceNumber = aws.String(c.number)
	}
	answer, err := client.SubscribeToShard(context.Background(), &kinesis.SubscribeToShardInput{
		ConsumerARN: aws.String(c.consumer), ShardId: aws.String(c.shard), StartingPosition: start})
	if err != nil {
		failed(c.id, "call", err)
		return
	}
	say(line{ID: c.id, Event: "open", Protocol: w.protocol})
	stream := answer.GetStream()
	defer stream.Close()
	for event := range stream.Events() {
		member, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			say(line{ID: c.id, Event: "unknown", Type: fmt.Sprintf("%T", event)})
			continue
		}
		e := member.Value
		l := line{ID: c.id, Event: "records", Continuation: e.ContinuationSequenceNumber,
			Behind: e.MillisBehindLatest}
		for _, r := range e.Records {
			l.Records = append(l.Records, [3]string{aws.ToString(r.SequenceNumber),
				hex([]byte(aws.ToString(r.PartitionKey))), hex(r.Data)})
		}
		for _, s := range e.ChildShards {
			l.Children = append(l.Children, child{aws.ToString(s.ShardId), s.ParentShards,
				aws.ToString(s.HashKeyRange.StartingHashKey),
				aws.ToString(s.HashKeyRange.EndingHashKey)})
		}
		say(l)
	}
	if err := stream.Err(); err != nil {
		failed(c.id, "stream", err)
		return
	}
	say(line{ID: c.id, Event: "end"})
}

func hex(b []byte) string {
	return fmt.Sprintf("%x", b)
}

// main [CERTIFICATE]: trusts that one only.
func main() {
	if len(os.Args) > 1 {
		text, err := os.ReadFile(os.Args[1])
		if err != nil {
			panic(err)
		}
		pool = x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := strings.Split(in.Text(), "\t")
		if len(f) != 7 {
			panic("expected 7 fields: " + in.Text())
		}
		go subscribe(command{f[0], f[1], f[2], f[3], f[4], f[5], f[6]})
	}
}
