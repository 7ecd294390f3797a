import java.net.InetAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.ProtocolNegotiation;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.CoordinatorConfig;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.leases.LeaseManagementConfig;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.KinesisClientRecord;
import software.amazon.kinesis.retrieval.RetrievalSpecificConfig;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * The Kinesis Client Library as an application uses it: one worker, until standard input ends.
 * README.md beside this folder tells what it says. Everything that is set is the library's public
 * configuration, so that it waits less than it would in the wild.
 */
public final class Consume {
    private static final class Processor implements ShardRecordProcessor {
        private String shard;

        private Lines line(String event) {
            return new Lines().put("event", event).put("shard", shard);
        }

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
            line("initialize")
                .put("from", input.extendedSequenceNumber().sequenceNumber()).say();
        }

        @Override
        public void processRecords(ProcessRecordsInput input) {
            if (!input.records().isEmpty()) {
                List<String[]> records = new ArrayList<>();
                for (KinesisClientRecord r : input.records()) {
                    records.add(new String[] {r.sequenceNumber(),
                        Lines.hex(r.partitionKey().getBytes(StandardCharsets.UTF_8)),
                        Lines.hex(r.data())});
                }
                line("records").records(records).say();
            }
            checkpoint(input.checkpointer());
        }

        @Override
        public void leaseLost(LeaseLostInput input) {
            line("lost").say();
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            line("end").say();
            checkpoint(input.checkpointer());
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            line("shutdown").say();
            checkpoint(input.checkpointer());
        }

        private void checkpoint(RecordProcessorCheckpointer checkpointer) {
            try {
                checkpointer.checkpoint();
            } catch (ShutdownException e) {
                line("unchecked").say(); // the lease is somebody else's by now
            } catch (InvalidStateException e) {
                line("failed").put("message", String.valueOf(e.getMessage())).say();
            }
        }
    }

    private static NettyNioAsyncHttpClient.Builder http(Protocol protocol) {
        NettyNioAsyncHttpClient.Builder http =
            NettyNioAsyncHttpClient.builder().protocol(protocol).maxConcurrency(100);
        return protocol == Protocol.HTTP2 ? http.protocolNegotiation(ProtocolNegotiation.ALPN)
                                          : http;
    }

    /** main STREAM APPLICATION polling|fanout KINESIS-ENDPOINT DYNAMODB-ENDPOINT */
    public static void main(String[] args) throws Exception {
        String stream = args[0];
        String application = args[1];
        Region region = Region.US_EAST_1;
        StaticCredentialsProvider keys =
            StaticCredentialsProvider.create(AwsBasicCredentials.create("local", "local-secret"));
        KinesisAsyncClient kinesis = KinesisAsyncClient.builder().region(region)
            .credentialsProvider(keys).endpointOverride(URI.create(args[3]))
            .httpClientBuilder(http(Protocol.HTTP2)).build();
        DynamoDbAsyncClient table = DynamoDbAsyncClient.builder().region(region)
            .credentialsProvider(keys).endpointOverride(URI.create(args[4]))
            .httpClientBuilder(http(Protocol.HTTP1_1)).build();
        // Never called: metrics go nowhere. An endpoint all the same, so that it cannot leave here.
        CloudWatchAsyncClient metrics = CloudWatchAsyncClient.builder().region(region)
            .credentialsProvider(keys).endpointOverride(URI.create("http://127.0.0.1:1"))
            .httpClientBuilder(http(Protocol.HTTP1_1)).build();

        String worker = InetAddress.getLoopbackAddress().getHostName() + ":" + UUID.randomUUID();
        ConfigsBuilder configs = new ConfigsBuilder(
            new SingleStreamTracker(stream, InitialPositionInStreamExtended.newInitialPosition(
                InitialPositionInStream.TRIM_HORIZON)),
            application, kinesis, table, metrics, worker, Processor::new);

        LeaseManagementConfig leases = configs.leaseManagementConfig()
            .shardSyncIntervalMillis(1000)
            .failoverTimeMillis(10000)
            .leaseAssignmentIntervalMillis(1000L)
            .leasesRecoveryAuditorExecutionFrequencyMillis(2000)
            .listShardsBackoffTimeInMillis(200)
            .cleanupLeasesUponShardCompletion(false); // the test looks at them in the end
        // A worker counts as alive for two periods of its reports, which tell whole seconds.
        leases.workerUtilizationAwareAssignmentConfig().disableWorkerMetrics(true)
            .inMemoryWorkerMetricsCaptureFrequencyMillis(500)
            .workerMetricsReporterFreqInMillis(3000);
        CoordinatorConfig coordinator = configs.coordinatorConfig()
            .parentShardPollIntervalMillis(200)
            .shardConsumerDispatchPollIntervalMillis(100)
            .schedulerInitializationBackoffTimeMillis(100)
            .skipShardSyncAtWorkerInitializationIfLeasesExist(false);
        RetrievalSpecificConfig how = args[2].equals("fanout")
            ? new FanOutConfig(kinesis).streamName(stream).applicationName(application)
            : new PollingConfig(stream, kinesis).idleTimeBetweenReadsInMillis(250)
                .retryGetRecordsInSeconds(Optional.of(30));
        Scheduler scheduler = new Scheduler(configs.checkpointConfig(), coordinator, leases,
            configs.lifecycleConfig().taskBackoffTimeMillis(100),
            configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
            configs.processorConfig(),
            configs.retrievalConfig().retrievalSpecificConfig(how)
                .listShardsBackoffTimeInMillis(200));

        Thread thread = new Thread(scheduler, "scheduler");
        thread.setDaemon(true);
        thread.start();
        new Lines().put("event", "started").put("worker", worker).say();
        while (System.in.read() >= 0) {
            continue;
        }
        boolean clean = scheduler.startGracefulShutdown().get(60, TimeUnit.SECONDS);
        thread.join(60000);
        new Lines().put("event", "stopped").put("clean", clean && !thread.isAlive()).say();
        System.exit(0);
    }
}
