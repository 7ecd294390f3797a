import java.nio.ByteBuffer;
import java.util.List;
import software.amazon.awssdk.services.kinesis.model.ChildShard;

/** What a judge says: lines of JSON on standard output, each written whole. */
final class Lines {
    private final StringBuilder text = new StringBuilder("{");

    Lines put(String name, String value) {
        name(name);
        if (value == null) {
            text.append("null");
        } else {
            quote(value);
        }
        return this;
    }

    Lines put(String name, Long value) {
        name(name);
        text.append(value);
        return this;
    }

    Lines put(String name, boolean value) {
        name(name);
        text.append(value);
        return this;
    }

    /** [["sequence number", "partition key in hex", "data in hex"], ...] */
    Lines records(List<String[]> records) {
        name("records");
        text.append('[');
        String comma = "";
        for (String[] record : records) {
            text.append(comma).append('[');
            quote(record[0]);
            text.append(',');
            quote(record[1]);
            text.append(',');
            quote(record[2]);
            text.append(']');
            comma = ",";
        }
        text.append(']');
        return this;
    }

    Lines children(List<ChildShard> children) {
        name("children");
        if (children == null || children.isEmpty()) {
            text.append("null");
            return this;
        }
        text.append('[');
        String comma = "";
        for (ChildShard child : children) {
            text.append(comma).append("{\"shard\":");
            quote(child.shardId());
            text.append(",\"parents\":[");
            String between = "";
            for (String parent : child.parentShards()) {
                text.append(between);
                quote(parent);
                between = ",";
            }
            text.append("],\"first\":");
            quote(child.hashKeyRange().startingHashKey());
            text.append(",\"last\":");
            quote(child.hashKeyRange().endingHashKey());
            text.append('}');
            comma = ",";
        }
        text.append(']');
        return this;
    }

    void say() {
        text.append("}\n");
        synchronized (System.out) {
            System.out.print(text);
            System.out.flush();
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder out = new StringBuilder(bytes.length * 2);
        for (byte b : bytes) {
            out.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return out.toString();
    }

    static String hex(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return hex(bytes);
    }

    private void name(String name) {
        if (text.length() > 1) {
            text.append(',');
        }
        quote(name);
        text.append(':');
    }

    private void quote(String value) {
        text.append('"');
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                text.append('\\').append(c);
            } else if (c < 0x20 || c > 0x7e) {
                text.append(String.format("\\u%04x", (int) c));
            } else {
                text.append(c);
            }
        }
        text.append('"');
    }
}
