"""A stream that lives while a pipeline reads it: records at a steady rate, splits and merges."""

import json
import threading
import time


def record_of(number, key):
    """Small JSON that says which record of which partition key it is."""
    return json.dumps({"n": number, "k": key, "pad": "x" * (number * 7 % 50)}).encode()


def bad_record_of(number, key):
    """The same, cut off: no JSON any more, and its number can still be read."""
    return record_of(number, key).rstrip(b"}\"x") + b"<"


class SteadyFeed:
    """Puts numbered records from a thread of its own, from start() to stop().

    A call holds at most one record of each partition key, and the next one begins when it was
    answered: so the order in which a key's records were accepted is the order in `keys`. `client`
    must not repeat calls by itself, or a lost answer would put a record twice.
    """

    def __init__(self, client, stream, keys=12, per_second=150, limit=15_000, bad_every=0):
        self.client, self.stream = client, stream
        self.per_call, self.per_second = keys, per_second
        self.limit, self.bad_every = limit, bad_every
        self.keys = {f"key-{k:02d}": [] for k in range(keys)}  # key -> its numbers as accepted
        self.bad = set()  # numbers of the records that are no JSON
        self.last = {}  # shard -> its highest sequence number
        self.shard_of = {}
        self.count = 0
        self.failure = None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self, seconds=120):
        """Ends the feed. What was accepted is known afterwards; a call that failed, too."""
        self.ending.set()
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the emulator does not answer"
        if self.failure:
            raise self.failure

    def wait(self, count, seconds=60):
        """Until this many records were accepted altogether."""
        end = time.monotonic() + seconds
        while self.count < count:
            assert self.thread.is_alive() or self.failure is None, self.failure
            assert time.monotonic() < end, f"{self.count} of {count} records within {seconds} s"
            time.sleep(0.02)

    def _run(self):
        number, due = 0, time.monotonic()
        names = list(self.keys)
        try:
            while not self.ending.is_set():
                batch = []
                for name in names[:self.per_call]:
                    bad = self.bad_every and number % self.bad_every == self.bad_every - 1
                    if bad:
                        self.bad.add(number)
                    batch.append((number, name, (bad_record_of if bad else record_of)(number, name)))
                    number += 1
                self._put(batch)
                # A stream that has grown large makes the emulator slow: from there on, few.
                due = max(due, time.monotonic() - 1) + len(batch) / self.per_second
                pause = due - time.monotonic() if self.count < self.limit else 1
                self.ending.wait(max(0.0, pause))
        except Exception as cause:  # told by stop()
            self.failure = cause

    def _put(self, batch):
        while batch:
            answer = self.client.put_records(StreamName=self.stream, Records=[
                {"Data": data, "PartitionKey": name} for _, name, data in batch])
            again = []
            for item, result in zip(batch, answer["Records"]):
                if "ErrorCode" in result:  # refused during a split: the same record once more
                    again.append(item)
                    continue
                number, name, _ = item
                shard, sequence = result["ShardId"], int(result["SequenceNumber"])
                self.keys[name].append(number)
                self.last[shard] = max(sequence, self.last.get(shard, 0))
                self.shard_of[number] = shard
                self.count += 1
            batch = again


class Resharder:
    """Splits and merges shards of a stream, one change after another, chosen by `rng`."""

    def __init__(self, client, stream, rng, most=4):
        self.client, self.stream, self.rng, self.most = client, stream, rng, most
        self.done = []  # what was done, for people

    def shards(self):
        found, token = [], {}
        while True:
            answer = self.client.list_shards(**(token or {"StreamName": self.stream}))
            found += answer["Shards"]
            if not answer.get("NextToken"):
                return found
            token = {"NextToken": answer["NextToken"]}

    def ready(self):
        summary = self.client.describe_stream_summary(StreamName=self.stream)
        return summary["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE"

    def change(self):
        """One split or merge, if the last one is over. True when it was begun."""
        if not self.ready():
            return False
        live = [s for s in self.shards() if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
        live.sort(key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))
        if len(live) > 1 and (len(live) >= self.most or self.rng.random() < 0.5):
            at = self.rng.randrange(len(live) - 1)
            left, right = live[at]["ShardId"], live[at + 1]["ShardId"]
            self.client.merge_shards(StreamName=self.stream, ShardToMerge=left,
                                     AdjacentShardToMerge=right)
            self.done.append(f"merge {left[-3:]}+{right[-3:]}")
        else:
            shard = self.rng.choice(live)
            low = int(shard["HashKeyRange"]["StartingHashKey"])
            high = int(shard["HashKeyRange"]["EndingHashKey"])
            middle = low + (high - low) * self.rng.randrange(30, 70) // 100
            self.client.split_shard(StreamName=self.stream, ShardToSplit=shard["ShardId"],
                                    NewStartingHashKey=str(middle))
            self.done.append(f"split {shard['ShardId'][-3:]}")
        return True
