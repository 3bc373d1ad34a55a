using Flotilla.Data;
using Flotilla.Node.Cluster;
using Flotilla.Node.Tests.Clusters;
using Flotilla.Node.Watching;
using Flotilla.Raft;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging.Abstractions;
using static Flotilla.Node.Tests.Clusters.GatewayText;
using Version = Flotilla.Data.Version;

namespace Flotilla.Node.Tests.Parts;

/// <summary>Slots go from shard to shard while somebody watches: the events of each owner come before those of the next.</summary>
public sealed class WatchOrderTests
{
    /// <summary>What a pull that finds nothing takes.</summary>
    private static readonly TimeSpan EmptyPull = TimeSpan.FromMilliseconds(1);

    private static readonly ShardId One = new(1);
    private static readonly ShardId Two = new(2);

    [Fact]
    public async Task What_a_new_owner_did_waits_for_what_the_old_one_did_before_its_freeze()
    {
        var shards = new FakeLogs();
        shards.Add(Two, ShardEventKind.Came, source: One, move: 5);
        shards.Put(Two, "k", 2, 10);
        await using var stream = shards.Watch();

        // The new owner's task stands at the mark; the old one has said nothing yet.
        await Eventually.IsTrueAsync(() => shards.FreezesAsked > 2, "the task asks whether it may go on");
        Assert.Null(stream.TryTake());
        var before = stream.Cursor;
        shards.Put(One, "k", 1, 6);
        shards.Put(One, "k", 1, 7);
        await TakesAsync(stream, "1.0.6.0 1.0.7.0");
        shards.Add(One, ShardEventKind.Frozen, move: 5);
        await TakesAsync(stream, "2.0.10.0");

        // A cursor that was given while it waited makes whoever goes on with it wait too.
        Assert.True(WatchCursor.TryDecode(before, out _, out var positions));
        Assert.Equal(EventPosition.Zero, positions[1].At);
    }

    [Fact]
    public async Task Two_shards_that_give_each_other_slots_do_not_wait_for_each_other_for_ever()
    {
        // Both freeze, then both accept: each mark lies behind the freeze that the other waits for.
        var shards = new FakeLogs();
        shards.Put(One, "a", 1, 2);
        shards.Put(Two, "b", 1, 2);
        shards.Add(One, ShardEventKind.Frozen, move: 1);
        shards.Add(Two, ShardEventKind.Frozen, move: 1);
        shards.Add(One, ShardEventKind.Came, source: Two, move: 1);
        shards.Add(Two, ShardEventKind.Came, source: One, move: 1);
        shards.Put(One, "b", 2, 9);
        shards.Put(Two, "a", 2, 9);
        await using var stream = shards.Watch();
        var seen = new List<string>();
        await Eventually.IsTrueAsync(
            () =>
            {
                while (stream.TryTake() is { } read)
                {
                    seen.Add($"{Text(read.Key)}{read.Version.SlotEpoch}");
                }

                return seen.Count == 4;
            }, "all four come");
        Assert.True(seen.IndexOf("a1") < seen.IndexOf("a2") && seen.IndexOf("b1") < seen.IndexOf("b2"), string.Join(' ', seen));
    }

    [Fact]
    public async Task Random_moves_of_many_keys_between_three_shards_come_in_order_from_any_cursor()
    {
        for (var seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            var shards = new FakeLogs(3);
            var owner = Enumerable.Range(0, 6).Select(k => (Shard: new ShardId((k % 3) + 1), Epoch: 1u)).ToArray();
            var total = 0;
            using var stop = new CancellationTokenSource();
            var working = Task.Run(async () =>
            {
                for (var i = 1; i <= 400; i++)
                {
                    var key = random.Next(owner.Length);
                    if (random.Next(4) == 0)
                    {
                        var to = new ShardId((owner[key].Shard.Value % 3) + 1);
                        shards.Add(owner[key].Shard, ShardEventKind.Frozen, move: (ulong)i);
                        shards.Add(to, ShardEventKind.Came, source: owner[key].Shard, move: (ulong)i);
                        owner[key] = (to, owner[key].Epoch + 1);
                    }
                    else
                    {
                        shards.Put(owner[key].Shard, $"k{key}", owner[key].Epoch, (ulong)i);
                        Interlocked.Increment(ref total);
                    }

                    if (random.Next(20) == 0)
                    {
                        await Task.Yield();
                    }
                }

                await stop.CancelAsync();
            }, TestContext.Current.CancellationToken);
            var last = new Dictionary<string, Version>(StringComparer.Ordinal);
            var count = 0;
            var stream = shards.Watch();
            var chance = new Random(seed);
            await Eventually.IsTrueAsync(
                async () =>
                {
                    if (chance.Next(5) == 0)
                    {
                        var cursor = stream.Cursor;
                        await stream.DisposeAsync();
                        stream = shards.Watch(cursor);
                    }

                    for (var n = chance.Next(60); n > 0 && stream.TryTake() is { } read; n--)
                    {
                        var key = Text(read.Key);
                        Assert.True(last.GetValueOrDefault(key).CompareTo(read.Version) < 0, $"seed {seed}: {key} {read.Version} after {last.GetValueOrDefault(key)}");
                        last[key] = read.Version;
                        count++;
                    }

                    return stop.IsCancellationRequested && count == Volatile.Read(ref total);
                }, $"all events of seed {seed} come");
            await working;
            await stream.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_retired_shard_is_watched_to_its_end_and_a_cursor_says_that_it_is_over()
    {
        var shards = new FakeLogs();
        shards.Put(One, "k", 1, 2);
        shards.Add(One, ShardEventKind.Frozen, move: 1);
        shards.Add(Two, ShardEventKind.Came, source: One, move: 1);
        shards.Put(Two, "k", 2, 3);
        shards.Add(One, ShardEventKind.Ended, move: 1);
        await using var stream = shards.Watch();
        await TakesAsync(stream, "1.0.2.0 2.0.3.0");
        await Eventually.IsTrueAsync(
            () =>
            {
                Assert.Null(stream.TryTake());
                return WatchCursor.TryDecode(stream.Cursor, out _, out var positions) && positions[0] == (One, EventPosition.Over) && positions[1].Shard == Two;
            }, "the cursor says so");

        // A mark that comes late, of slots that it gave before its end, waits for nobody.
        shards.Add(Two, ShardEventKind.Came, source: One, move: 1);
        shards.Put(Two, "k", 2, 4);
        var cursor = stream.Cursor;
        await TakesAsync(stream, "2.0.4.0");

        // Nor does a node watch it anew that has not heard of its end.
        await using var behind = shards.Watch(cursor);
        await TakesAsync(behind, "2.0.4.0");
        shards.Put(Two, "k", 2, 5);
        await TakesAsync(behind, "2.0.5.0");
        shards.Retire(One);
        await using var next = shards.Watch(cursor);
        await TakesAsync(next, "2.0.4.0 2.0.5.0");
    }

    [Fact]
    public async Task The_end_of_a_birth_that_never_owned_anything_is_not_the_end_of_its_number()
    {
        var shards = new FakeLogs();
        shards.Add(One, ShardEventKind.Ended);
        shards.Put(Two, "k", 1, 2);
        await using var stream = shards.Watch();
        await TakesAsync(stream, "1.0.2.0");
        Assert.True(WatchCursor.TryDecode(stream.Cursor, out _, out var positions));
        Assert.DoesNotContain(positions, static p => p.At == EventPosition.Over);
    }

    [Fact]
    public async Task Slots_that_come_from_a_shard_of_which_nothing_was_heard_cut_the_watch_off()
    {
        var shards = new FakeLogs();
        shards.RetireUnheard(new ShardId(3));
        shards.Put(Two, "k", 1, 2);
        shards.Add(Two, ShardEventKind.Came, source: new ShardId(3), move: 1);
        shards.Put(Two, "k", 3, 3);
        await using var stream = shards.Watch();
        await TakesAsync(stream, "1.0.2.0");
        await Eventually.IsTrueAsync(() => stream.End == WatchEnd.Slow, "it is cut off");
        Assert.Null(stream.TryTake());
    }

    private static async Task TakesAsync(WatchStream stream, string versions)
    {
        var seen = new List<string>();
        await Eventually.IsTrueAsync(
            () =>
            {
                while (stream.TryTake() is { } read)
                {
                    seen.Add(read.Version.ToString());
                }

                return seen.Count >= versions.Split(' ').Length;
            }, versions);
        Assert.Equal(versions, string.Join(' ', seen));
    }

    /// <summary>Shards whose logs a test writes; each event is an entry of its own.</summary>
    private sealed class FakeLogs : IWatchSources
    {
        private readonly Lock _gate = new();
        private readonly ClusterState _cluster = new(new NodeId("n1"), isRouter: false, static _ => true, static () => 0);
        private readonly Dictionary<ShardId, List<ShardEvent>> _logs;
        private int _freezesAsked;

        public FakeLogs(int shards = 2)
        {
            _logs = Enumerable.Range(1, shards).ToDictionary(s => new ShardId(s), _ => new List<ShardEvent>());
            _cluster.Publish(new RoutingTable(7, _logs.Keys.Select(s => new ShardRoute(s, new GroupId((ulong)s.Value), ShardMembers.First([new NodeId("n1")]), SlotSet.Empty, null))));
        }

        public int FreezesAsked => Volatile.Read(ref _freezesAsked);

        public void Retire(ShardId shard)
        {
            _cluster.LearnRetired([new Flotilla.Topology.Descriptors.ShardKey(shard, (ulong)shard.Value)]);
            _cluster.Publish(new RoutingTable(7, _cluster.Table.Shards.Where(r => r.Shard != shard)));
        }

        public void RetireUnheard(ShardId shard) => _cluster.LearnRetired([new Flotilla.Topology.Descriptors.ShardKey(shard, 99)]);

        public void Put(ShardId shard, string key, uint epoch, ulong counter) => Add(shard, ShardEventKind.Put, key, new Version(epoch, 0, counter, 0));

        public void Add(ShardId shard, ShardEventKind kind, string key = "", Version version = default, ShardId source = default, ulong move = 0)
        {
            lock (_gate)
            {
                var log = _logs[shard];
                log.Add(new ShardEvent(kind, new EventPosition(new LogIndex((ulong)log.Count), 1), Bytes(key), default, version, source, new LogIndex(move)));
            }
        }

        public WatchStream Watch(string? cursor = null)
        {
            IReadOnlyList<(ShardId Shard, EventPosition At)> positions = [];
            Assert.True(cursor is null || WatchCursor.TryDecode(cursor, out _, out positions));
            var over = positions.Where(static p => p.At == EventPosition.Over).Select(static p => p.Shard).ToArray();
            var begins = _cluster.Table.Shards.Where(r => !over.Contains(r.Shard)).Select(r => (r, positions.FirstOrDefault(p => p.Shard == r.Shard).At)).ToArray();
            return new WatchStream(_cluster, this, new WatchRequest(default, cursor), begins, over, static () => { }, NullLogger.Instance);
        }

        public async ValueTask<WatchReply> AskAsync(ShardRoute route, WatchPull pull, int waitMs, bool forward, Instant deadline, CancellationToken cancellation)
        {
            await Task.Yield();
            cancellation.ThrowIfCancellationRequested();
            lock (_gate)
            {
                var log = _logs[route.Shard];
                if (pull.Kind == PullKind.Freeze)
                {
                    Interlocked.Increment(ref _freezesAsked);
                    var freeze = log.FindIndex(e => e.Kind == ShardEventKind.Frozen && e.Move == pull.Move);
                    return WatchReply.Of(freeze >= 0 && log[freeze].After <= pull.From ? PullCode.Ok : PullCode.NotYet);
                }

                ShardEvent[] events = [.. log.Where(e => e.After > pull.From).Take(7)];
                if (events.Length > 0)
                {
                    return new WatchReply(PullCode.Ok, events[^1].After, [.. events.Where(e => e.Kind != ShardEventKind.Frozen)]);
                }
            }

            await Task.Delay(EmptyPull, cancellation);
            return new WatchReply(PullCode.Ok, pull.From, []);
        }
    }
}
