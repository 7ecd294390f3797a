"""A Kinesis stream of weir-local and of kinesis-local flows into files: everything, unchanged, in order per shard."""

import concurrent.futures
import hashlib
import random
import threading
import time

import pytest

from processes import wait_for
from weir import CONFIG, OK, bytes_below, framed, lines_of, pipeline, wait_bytes

FRAMES = {"type": "raw", "framing": "length"}
KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}


def source(endpoint, stream, **more):
    return {"type": "kinesis", "stream": stream, "region": "us-east-1", "endpoint": endpoint,
            "start": "trim_horizon", "discovery_interval": "1s", "interval": "200ms", **more}


class Feeder:
    """Puts numbered binary records and remembers where each one went."""

    def __init__(self, client, stream, seed=1):
        self.client, self.stream = client, stream
        self.rng = random.Random(seed)
        self.sent = {}  # id -> (digest, shard, sequence number)
        self.bytes = 0  # as framed in the output
        self.lock = threading.Lock()

    def record(self, number, size):
        head = number.to_bytes(8, "big")
        return head + self.rng.randbytes(max(0, size - len(head)))

    def put(self, batch):
        """One PutRecords call with [(number, data, key)]; what was refused is put again, later, as a
        shard takes a thousand records and a mebibyte a second."""
        pause = 0
        while batch:
            time.sleep(pause)
            answer = self.client.put_records(StreamName=self.stream, Records=[
                {"Data": data, "PartitionKey": key} for _, data, key in batch])
            again = []
            with self.lock:
                for item, result in zip(batch, answer["Records"]):
                    if "ErrorCode" in result:
                        again.append(item)
                        continue
                    number, data, _ = item
                    assert number not in self.sent
                    self.sent[number] = (hashlib.sha256(data).digest(), result["ShardId"],
                                         int(result["SequenceNumber"]))
                    self.bytes += len(data) + 4
            batch, pause = again, 0.1


def check_received(records, feeder, shards):
    """Each record once and unchanged; shards in order; a child only behind all of its parents."""
    place_in_shard, first, last = {}, {}, {}
    seen = set()
    for place, data in enumerate(records):
        number = int.from_bytes(data[:8], "big")
        digest, shard, sequence = feeder.sent[number]
        assert number not in seen, f"record {number} came twice"
        seen.add(number)
        assert hashlib.sha256(data).digest() == digest, f"record {number} was altered"
        assert sequence > place_in_shard.get(shard, -1), f"{shard} is out of order at {number}"
        place_in_shard[shard] = sequence
        first.setdefault(shard, place)
        last[shard] = place
    assert len(seen) == len(feeder.sent), f"{len(feeder.sent) - len(seen)} records are missing"
    families = 0
    for shard in shards:
        for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
            if parent in last and shard["ShardId"] in first:
                families += 1
                assert last[parent] < first[shard["ShardId"]], f"{shard['ShardId']} ran ahead of {parent}"
    return families


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_stream_that_is_resharded_while_it_is_read(weir, kinesis):
    # kinesis-local goes through all records it holds for each call: feeding it takes longer for each
    # record than for the one before, minutes in all, in which weir waits.
    count = 60_000
    threads = 4
    stream = kinesis.create_stream(4)
    feeder = Feeder(kinesis.client, stream)
    large = set(random.Random(2).sample(range(count), 60))
    largest = set(sorted(large)[:20])

    def size_of(number):
        if number in largest:
            return 2**20 - len(f"key-{number}")  # the limit counts the partition key too
        if number in large:
            return feeder.rng.randrange(4097, 65536)
        return int(8 + feeder.rng.random() ** 4 * 4088)

    # Calls are kept rare, for the same reason.
    running = weir.start("run", weir.manifest(pipeline(
        {"in": source(kinesis.endpoint, stream, interval="1s", empty_interval="1s")},
        {"out": {"type": "file", "path": "out/records.bin", "format": FRAMES, "input": "in"}})), env=KEYS)

    batches, batch, size = [], [], 0
    for number in range(count):
        data = feeder.record(number, size_of(number))
        if len(batch) == 500 or size + len(data) > 3_000_000:
            batches.append(batch)
            batch, size = [], 0
        batch.append((number, data, f"key-{number}"))
        size += len(data) + 32
    batches.append(batch)

    shards = kinesis.client.list_shards(StreamName=stream)["Shards"]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        third = len(batches) // 3
        list(pool.map(feeder.put, batches[:third]))
        hash_range = shards[0]["HashKeyRange"]
        middle = (int(hash_range["StartingHashKey"]) + int(hash_range["EndingHashKey"])) // 2
        rest = [pool.submit(feeder.put, b) for b in batches[third:2 * third]]
        kinesis.client.split_shard(StreamName=stream, ShardToSplit=shards[0]["ShardId"],
                                         NewStartingHashKey=str(middle))
        concurrent.futures.wait(rest)
        kinesis.wait_active(stream)
        rest += [pool.submit(feeder.put, b) for b in batches[2 * third:]]
        kinesis.client.merge_shards(StreamName=stream, ShardToMerge=shards[2]["ShardId"],
                                          AdjacentShardToMerge=shards[3]["ShardId"])
        for future in rest:
            future.result()
    kinesis.wait_active(stream)
    assert len(feeder.sent) == count

    wait_bytes(weir.folder / "out", feeder.bytes, 600, running)
    result = running.stop()
    assert result.status == OK, result
    records = framed((weir.folder / "out" / "records.bin").read_bytes())
    shards = kinesis.client.list_shards(StreamName=stream)["Shards"]
    assert len(shards) == 7
    assert check_received(records, feeder, shards) >= 3, "records came from parents and children"


def feed(kinesis, stream, count, seed=1):
    feeder = Feeder(kinesis.client, stream, seed)
    batch = [(n, feeder.record(n, feeder.rng.randrange(8, 800)), f"key-{n}") for n in range(count)]
    for at in range(0, count, 500):
        feeder.put(batch[at:at + 500])
    return feeder


def read_all(weir, kinesis, stream, feeder, endpoint=None, seconds=60, **more):
    running = weir.start("run", weir.manifest(pipeline(
        {"in": source(endpoint or kinesis.endpoint, stream, **more)},
        {"out": {"type": "file", "path": "out/records.bin", "format": FRAMES, "input": "in"}})), env=KEYS)
    wait_bytes(weir.folder / "out", feeder.bytes, seconds, running)
    result = running.stop()
    assert result.status == OK, result
    records = framed((weir.folder / "out" / "records.bin").read_bytes())
    check_received(records, feeder, kinesis.client.list_shards(StreamName=stream)["Shards"])
    return result


def test_two_shards(weir, kinesis):
    stream = kinesis.create_stream(2)
    read_all(weir, kinesis, stream, feed(kinesis, stream, 3000))


def test_over_tls_with_verification(weir, kinesis, certificate):
    stream = kinesis.create_stream(2)
    read_all(weir, kinesis, stream, feed(kinesis, stream, 2000),
             endpoint=kinesis.tls_endpoint, ca_bundle=str(certificate[1]))


def test_a_certificate_that_nobody_vouches_for_is_refused(weir, kinesis):
    stream = kinesis.create_stream(1)
    result = weir.run_pipeline(pipeline(
        {"in": source(kinesis.tls_endpoint, stream)}, {"out": {"type": "blackhole", "input": "in"}},
        settings={"start_timeout": "5s"}), env=KEYS)
    assert result.status == CONFIG and "certificate" in result.err.lower(), result


@pytest.mark.parametrize("wire", ["auto", "json"])
def test_wire_formats(weir, kinesis, wire):
    stream = kinesis.create_stream(1)
    read_all(weir, kinesis, stream, feed(kinesis, stream, 1000), wire=wire)


def test_many_small_calls(weir, kinesis):
    stream = kinesis.create_stream(3)
    read_all(weir, kinesis, stream, feed(kinesis, stream, 1500), records_per_call=100)


def test_more_tasks_than_shards(weir, kinesis):
    stream = kinesis.create_stream(2)
    read_all(weir, kinesis, stream, feed(kinesis, stream, 1000), parallelism=4)


def test_stop_latest_ends_by_itself(weir, kinesis):
    stream = kinesis.create_stream(2)
    feeder = feed(kinesis, stream, 1000)
    result = weir.run_pipeline(pipeline(
        {"in": source(kinesis.endpoint, stream, stop="latest")},
        {"out": {"type": "file", "path": "out/records.bin", "format": FRAMES, "input": "in"}}),
        "--once", env=KEYS)
    assert result.status == OK, result
    records = framed((weir.folder / "out" / "records.bin").read_bytes())
    check_received(records, feeder, kinesis.client.list_shards(StreamName=stream)["Shards"])


def test_latest_sees_only_what_comes_later(weir, kinesis):
    stream = kinesis.create_stream(1)
    kinesis.client.put_record(StreamName=stream, Data=b"before", PartitionKey="k")
    running = weir.start("run", weir.manifest(pipeline(
        {"in": source(kinesis.endpoint, stream, start="latest")},
        {"out": {"type": "file", "path": "out/lines.txt", "input": "in"}})), env=KEYS)

    def one_more():  # it counts from the moment the start is fixed, which is not to be seen from here
        assert running.alive(), running.errors()
        kinesis.client.put_record(StreamName=stream, Data=b"after", PartitionKey="k")
        return bytes_below(weir.folder / "out") > 0

    wait_for(one_more, 30, "a record arrives", interval=0.3)
    assert running.stop().status == OK
    assert set(lines_of(weir.folder / "out")) == {b"after"}


def test_the_shard_names_the_file(weir, kinesis):
    stream = kinesis.create_stream(2)
    feeder = feed(kinesis, stream, 1000)
    running = weir.start("run", weir.manifest(pipeline(
        {"in": source(kinesis.endpoint, stream)},
        {"out": {"type": "file", "path": "out/${split}.bin", "format": FRAMES, "input": "in"}})), env=KEYS)
    wait_bytes(weir.folder / "out", feeder.bytes, 60, running)
    assert running.stop().status == OK
    for shard in {place for _, place, _ in feeder.sent.values()}:
        [path] = [p for p in (weir.folder / "out").iterdir() if shard in p.name]
        numbers = [int.from_bytes(r[:8], "big") for r in framed(path.read_bytes())]
        assert {feeder.sent[n][1] for n in numbers} == {shard}
        assert len(numbers) == sum(place == shard for _, place, _ in feeder.sent.values())


def test_a_reader_that_is_throttled_reads_on(weir, kinesis):
    """Twenty calls a second where the service allows five, on a shard that is written to all the time."""
    kinesis.needs("throttling")
    stream = kinesis.create_stream(1)
    feeder = feed(kinesis, stream, 500)
    running = weir.start("run", weir.manifest(pipeline(
        {"in": source(kinesis.endpoint, stream, interval="50ms", empty_interval="50ms",
                      retry={"base": "20ms", "max": "200ms"})},
        {"out": {"type": "file", "path": "out/records.bin", "format": FRAMES, "input": "in"}})), env=KEYS)
    wait_bytes(weir.folder / "out", feeder.bytes, 60, running)

    def refused():
        operations = kinesis.server.admin("GET", "stats")["operations"]
        return operations["kinesis.GetRecords"]["errors"] >= 5

    wait_for(refused, 60, "five calls were refused")
    feeder.put([(n, feeder.record(n, 100), f"key-{n}") for n in range(500, 900)])
    wait_bytes(weir.folder / "out", feeder.bytes, 60, running)
    assert running.stop().status == OK
    records = framed((weir.folder / "out" / "records.bin").read_bytes())
    check_received(records, feeder, kinesis.client.list_shards(StreamName=stream)["Shards"])


def test_records_that_were_lost_to_retention_are_not_waited_for(weir, kinesis):
    """A pipeline stood still for longer than the stream keeps its records."""
    kinesis.needs("retention")
    stream = kinesis.create_stream(1)
    path = weir.manifest(pipeline({"in": source(kinesis.endpoint, stream)},
                                  {"out": {"type": "file", "path": "out/", "input": "in"}}))

    def put(text):
        kinesis.client.put_record(StreamName=stream, Data=text, PartitionKey="k")

    def read_one(size):
        running = weir.start("run", path, env=KEYS)
        wait_bytes(weir.folder / "out", size, 60, running)
        assert running.stop().status == OK

    put(b"read")
    read_one(len("read\n"))
    put(b"lost")
    kinesis.server.advance(seconds=25 * 3600)
    put(b"kept")
    read_one(len("read\nkept\n"))
    assert sorted(lines_of(weir.folder / "out")) == [b"kept", b"read"]
