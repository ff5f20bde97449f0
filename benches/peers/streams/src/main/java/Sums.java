import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.LongAdder;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The sum of each object over each minute of event time, exactly once, published when the minute has been over for 30
 * seconds: the job of the daemon's AggProxySum, written as the documentation of Kafka Streams writes it.
 *
 * <p>{@code java Sums BROKERS INPUT OUTPUT GROUP STATE_DIRECTORY THREADS COMMIT_MS}. Prints how many records it has
 * taken, ten times a second; SIGTERM commits and ends it. Properties that begin with "streams." are passed on.
 */
public final class Sums {
    private static final LongAdder TAKEN = new LongAdder();

    /** A sample: its time in milliseconds and its value. */
    record Sample(long time, long value) {}

    public static void main(String[] arguments) throws InterruptedException {
        StreamsBuilder builder = new StreamsBuilder();
        TimeWindows minute = TimeWindows.ofSizeAndGrace(Duration.ofSeconds(60), Duration.ofSeconds(30));
        Consumed<Bytes, Sample> input = Consumed.with(Serdes.Bytes(), samples());
        builder.stream(arguments[1], input.withTimestampExtractor(new SampleTime()))
            .groupByKey(Grouped.with(Serdes.Bytes(), samples()))
            .windowedBy(minute)
            .aggregate(() -> 0L, (key, sample, sum) -> sum + sample.value(),
                Materialized.<Bytes, Long, WindowStore<Bytes, byte[]>>as("sums")
                    .withKeySerde(Serdes.Bytes()).withValueSerde(Serdes.Long())
                    .withRetention(Duration.ofSeconds(90)))
            .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
            .toStream()
            .map((window, sum) -> KeyValue.pair(
                window.key().get(), line(window.key().get(), window.window().start(), window.window().end(), sum)))
            .to(arguments[2], Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(arguments));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(60))));
        streams.start();
        while (true) {
            System.out.println(TAKEN.sum());
            Thread.sleep(100);
        }
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[5]);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments[6]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        for (String name : System.getProperties().stringPropertyNames()) {
            if (name.startsWith("streams.")) {
                settings.put(name.substring("streams.".length()), System.getProperty(name));
            }
        }
        return settings;
    }

    /** Event time is the sample's. */
    public static final class SampleTime implements TimestampExtractor {
        @Override
        public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
            return ((Sample) record.value()).time();
        }
    }

    private static Serde<Sample> samples() {
        Deserializer<Sample> read = (topic, payload) -> {
            TAKEN.increment();
            return parse(payload);
        };
        Serializer<Sample> write = (topic, sample) -> {
            throw new UnsupportedOperationException("samples are only read");
        };
        return Serdes.serdeFrom(write, read);
    }

    /** Takes the timestamp and the text of {@code <name … timestamp="µs">value</name>}, without making strings. */
    private static Sample parse(byte[] payload) {
        int close = indexOf(payload, (byte) '>', 0);
        int quote = close - 1;
        long time = 0;
        int digit = quote - 1;
        while (payload[digit] != '"') {
            digit--;
        }
        for (int at = digit + 1; at < quote; at++) {
            time = time * 10 + payload[at] - '0';
        }
        long value = 0;
        for (int at = close + 1; payload[at] != '<'; at++) {
            value = value * 10 + payload[at] - '0';
        }
        return new Sample(time / 1000, value);
    }

    private static int indexOf(byte[] bytes, byte wanted, int from) {
        int at = from;
        while (bytes[at] != wanted) {
            at++;
        }
        return at;
    }

    /** The daemon's line, so that both write the same number of bytes. */
    private static byte[] line(byte[] key, long start, long end, long sum) {
        StringBuilder line = new StringBuilder(256);
        line.append("{\"key\":\"").append(new String(key, StandardCharsets.UTF_8));
        line.append("\",\"uve\":\"AggProxySum-UveVirtualNetworkAgent-egress_flow_count\",\"start\":");
        line.append(start).append("000,\"end\":").append(end);
        line.append("000,\"data\":{\"deleted\":false,\"proxy\":\"UveVirtualNetworkAgent-egress_flow_count\",");
        line.append("\"value\":{\"value\":").append(sum).append("}}}");
        return line.toString().getBytes(StandardCharsets.UTF_8);
    }
}
