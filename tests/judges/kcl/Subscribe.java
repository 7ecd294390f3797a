import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.ProtocolNegotiation;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.retries.DefaultRetryStrategy;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.Record;
import software.amazon.awssdk.services.kinesis.model.StartingPosition;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEvent;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardEventStream;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardRequest;
import software.amazon.awssdk.services.kinesis.model.SubscribeToShardResponseHandler;

/**
 * A client of SubscribeToShard, the Java SDK's: commands on standard input, what came on standard
 * output. README.md beside this folder tells both formats.
 */
public final class Subscribe {
    private static final Map<String, KinesisAsyncClient> clients = new HashMap<>();

    private static KinesisAsyncClient client(String mode, String endpoint) {
        return clients.computeIfAbsent(mode + endpoint, key -> {
            NettyNioAsyncHttpClient.Builder http =
                NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP2);
            if (mode.equals("tls")) {
                http.protocolNegotiation(ProtocolNegotiation.ALPN);
            } else { // "assume" in TLS without ALPN, "clear" without TLS: prior knowledge
                http.protocolNegotiation(ProtocolNegotiation.ASSUME_PROTOCOL);
            }
            return KinesisAsyncClient.builder()
                .endpointOverride(URI.create(endpoint))
                .region(Region.US_EAST_1)
                .credentialsProvider(StaticCredentialsProvider.create(
                    AwsBasicCredentials.create("local", "local-secret")))
                .overrideConfiguration(c -> c.retryStrategy(DefaultRetryStrategy.doNotRetry()))
                .httpClientBuilder(http)
                .build();
        });
    }

    private static void event(String id, SubscribeToShardEvent e) {
        List<String[]> records = new ArrayList<>();
        for (Record r : e.records()) {
            records.add(new String[] {r.sequenceNumber(),
                Lines.hex(r.partitionKey().getBytes(StandardCharsets.UTF_8)),
                Lines.hex(r.data().asByteArray())});
        }
        new Lines().put("id", id).put("event", "records").records(records)
            .put("continuation", e.continuationSequenceNumber())
            .put("behind", e.millisBehindLatest())
            .children(e.hasChildShards() ? e.childShards() : null)
            .say();
    }

    private static void subscribe(String[] f) {
        String id = f[0];
        boolean[] open = {false};
        StartingPosition.Builder start = StartingPosition.builder().type(f[5]);
        if (!f[6].isEmpty()) {
            start.sequenceNumber(f[6]);
        }
        SubscribeToShardRequest request = SubscribeToShardRequest.builder()
            .consumerARN(f[3]).shardId(f[4]).startingPosition(start.build()).build();
        SubscribeToShardResponseHandler handler = SubscribeToShardResponseHandler.builder()
            .onResponse(response -> {
                open[0] = true;
                new Lines().put("id", id).put("event", "open").say();
            })
            .subscriber((SubscribeToShardEventStream e) -> {
                if (e instanceof SubscribeToShardEvent) {
                    event(id, (SubscribeToShardEvent) e);
                } else {
                    new Lines().put("id", id).put("event", "unknown")
                        .put("type", e.getClass().getSimpleName()).say();
                }
            })
            .build();
        CompletableFuture<Void> done = client(f[1], f[2]).subscribeToShard(request, handler);
        done.whenComplete((nothing, error) -> {
            if (error == null) {
                new Lines().put("id", id).put("event", "end").say();
                return;
            }
            Throwable cause = error instanceof CompletionException ? error.getCause() : error;
            new Lines().put("id", id).put("event", "error")
                .put("where", open[0] ? "stream" : "call")
                .put("type", cause.getClass().getSimpleName())
                .put("message", String.valueOf(cause.getMessage())).say();
        });
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            subscribe(line.split("\t", -1));
        }
        System.exit(0); // open subscriptions end with it
    }
}
