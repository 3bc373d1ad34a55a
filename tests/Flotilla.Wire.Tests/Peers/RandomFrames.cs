using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;
using Record = Flotilla.Data.Record;
using Version = Flotilla.Data.Version;

namespace Flotilla.Wire.Tests.Peers;

/// <summary>Frames as correct peers may send them, drawn from a seed; edge values come up often.</summary>
internal sealed class RandomFrames(int seed)
{
    private readonly Random _random = new(seed);

    public PeerFrame Frame()
    {
        var frame = new PeerFrame { ClusterId = Number() };
        if (Chance(10))
        {
            frame.Hello = Hello();
        }

        for (var i = _random.Next(6); i > 0; i--)
        {
            frame.Messages.Add(new PeerEnvelope(new GroupId(Number() | 1), Message(_random.Next(14))));
        }

        for (var i = _random.Next(4); i > 0; i--)
        {
            frame.Requests.Add(Request());
        }

        for (var i = _random.Next(4); i > 0; i--)
        {
            frame.Replies.Add(Reply());
        }

        for (var i = Chance(20) ? _random.Next(4) : 0; i > 0; i--)
        {
            frame.Gossip.Add(Bytes(1, 300));
        }

        for (var i = Chance(20) ? _random.Next(4) : 0; i > 0; i--)
        {
            frame.Handoffs.Add(new HandoffEnvelope(new GroupId(Number() | 1), Bytes(1, 300), Chance(50)));
        }

        for (var i = Chance(20) ? _random.Next(4) : 0; i > 0; i--)
        {
            frame.Heartbeats.Add((uint)_random.Next((int)PeerFrame.MaxLoops));
        }

        return frame;
    }

    public Hello Hello()
    {
        var router = Chance(30);
        return new Hello(PeerFrame.ProtocolVersion, Node(), new Incarnation(router ? 0 : Number() | 1), Number(), Number(), Address(), Address(), router) { OnlyShard = Chance(30) ? new ShardId(1 + _random.Next(1 << 20)) : null };
    }

    public Message Message(int kind) => kind switch
    {
        0 => new RequestVote(new(Number()), Chance(50), new(Number()), new(Number()), Chance(50)),
        1 => new RequestVoteReply(new(Number()), Chance(50), Chance(50), Many(4, () => new KnownPeer(Node(), new Incarnation(Number() | 1), Chance(50)))),
        2 => Append(),
        3 => new AppendEntriesReply(new(Number()), Chance(50), new(Number()), new(Number()), new(Number()), new(Number()), Number(), Chance(50)),
        4 => new TimeoutNow(new(Number())),
        5 => new ReadIndexRequest(new(Number()), Number()),
        6 => new ReadIndexReply(new(Number()), Number(), Chance(50), new(Number())),
        7 => new EmptyRequest(new(Number())),
        10 => new NotMember(new(Number()), new(Number())),
        8 => Install(),
        11 => new GoQuiet(new(Number()), new(Number()), Number() | 1, (uint)_random.Next((int)PeerFrame.MaxLoops), Number()),
        12 => new GoQuietReply(new(Number()), Number(), Chance(50)),
        9 => new InstallSnapshotReply(new(Number()), Number(), _random.NextInt64(long.MaxValue), new(Number())),
        _ => new EmptyReply(new(Number()), Chance(50), Chance(50), new(Number())),
    };

    private InstallSnapshot Install()
    {
        var data = Bytes(0, 100);
        var (term, offset) = (Number() | 1, _random.NextInt64(1L << 50));
        var snapshot = new SnapshotMeta(new(Number() | 1), new(1 + (ulong)_random.NextInt64((long)Math.Min(term, long.MaxValue))), Number(), offset + data.Length + _random.Next(1000));
        return new InstallSnapshot(new(term), snapshot, offset, data, (uint)_random.Next(), new Incarnation(Number()));
    }

    public CallRequest Request()
    {
        var (id, shard, hops, timeoutMs) = (Number(), new ShardId(_random.Next(1, 1 << 20)), _random.Next(16), _random.Next(1, 600_000));
        return _random.Next(5) switch
        {
            0 => CallRequest.Write(id, shard, hops, timeoutMs, Command()),
            1 => CallRequest.Get(id, shard, hops, timeoutMs, Bytes(1, 40), Chance(50)),
            3 when Chance(20) => CallRequest.ChangeOf(id, shard, timeoutMs, new ShardChange(ChangeKind.SetMode, default, Mode: (ShardMode)_random.Next(1, 6))),
            3 => CallRequest.ChangeOf(id, shard, timeoutMs, new ShardChange((ChangeKind)_random.Next(1, 6), Chance(80) ? Node() : default, Address(), new(Number()), new(Number()))),
            4 => CallRequest.WatchOf(id, shard, timeoutMs, new WatchPull((PullKind)_random.Next(3), Position(), new EventFilter(Bytes(0, 9), Chance(50)), _random.Next(1, 1 << 20), new(Number()))),
            _ => CallRequest.ScanPage(id, shard, hops, timeoutMs, new ScanRequest(Bytes(0, 40), Bytes(0, 9), _random.Next(1, 10_001), _random.Next(1, 1 << 24)) { Keys = Chance(50) ? null : Keys() }, Chance(50)),
        };
    }

    public CallReply Reply()
    {
        var leader = Chance(50) ? Node() : default;
        var code = (ResultCode)_random.Next((int)ResultCode.KeyReused + 1);
        if (Chance(20))
        {
            return new CallReply(Number(), default, null, leader, Address(), Chance(30) ? "so steht es" : null)
            {
                Change = new ChangeReply((ChangeCode)_random.Next(12), new(Number()), new(Number())),
            };
        }

        if (Chance(20))
        {
            var events = Many(4, Event).DistinctBy(e => e.After).OrderBy(e => e.After).ToArray();
            return new CallReply(Number(), default, null, leader, Address(), null)
            {
                Watch = new WatchReply((PullCode)_random.Next(6), events.Length == 0 ? Position() : events[^1].After, events),
            };
        }

        return Chance(50)
            ? new CallReply(Number(), new CommandResult(code, Version(), Bytes(0, 100)), null, leader, Address(), Chance(30) ? "kein Grund: ähm" : null)
            : new CallReply(Number(), default, Page(code), leader, Address(), null);
    }

    private EventPosition Position() => new(new(Math.Min(Number(), ulong.MaxValue - 1)), (uint)_random.Next(1, int.MaxValue));

    private ShardEvent Event() => Chance(20)
        ? new ShardEvent(ShardEventKind.Came, Position(), default, default, default, new ShardId(_random.Next(1, 1 << 20)), new(Number() | 1))
        : new ShardEvent((ShardEventKind)_random.Next(1, 4), Position(), Bytes(1, 40), Bytes(0, 100), Version(), default, default);

    public ulong Number() => _random.Next(6) switch
    {
        0 => 0,
        1 => ulong.MaxValue,
        2 => (ulong)_random.NextInt64(),
        3 => 1UL << _random.Next(64),
        _ => (ulong)_random.Next(1000),
    };

    public ReadOnlyMemory<byte> Bytes(int least, int most)
    {
        var bytes = new byte[_random.Next(least, most + 1)];
        _random.NextBytes(bytes);
        return bytes;
    }

    private AppendEntries Append()
    {
        var prev = (ulong)_random.NextInt64();
        var term = (ulong)_random.Next(1000);
        var prevTerm = new Term(term);
        var count = _random.Next(5);
        var entries = new Entry[count];
        for (var i = 0; i < count; i++)
        {
            term += (ulong)_random.Next(3);
            entries[i] = new Entry(new(prev + 1 + (ulong)i), new(term), (EntryKind)_random.Next(3), Bytes(0, 300));
        }

        return new AppendEntries(new(term + (ulong)_random.Next(3)), new(prev), prevTerm, entries, new(Number()), Number(), new Incarnation(Number()), Chance(3) ? Node() : default)
        {
            Route = [.. Enumerable.Range(0, Chance(3) ? _random.Next(5) : 0).Select(_ => Node())],
        };
    }

    private Command Command() => _random.Next(8) switch
    {
        0 => Shards.Command.OpenSession(),
        1 => Shards.Command.CloseSession(Session()),
        _ => Write() with { Once = HowOnce() },
    };

    private Once? HowOnce()
    {
        var mark = Number();
        var ahead = (ulong)_random.Next(10_000);
        return _random.Next(3) switch
        {
            0 => new Once.InSession(Session(), mark + Math.Min(ahead, ulong.MaxValue - mark), mark, Chance(30), new(Chance(70) ? 0 : Number())),
            1 => new Once.ByKey(Bytes(1, Once.ByKey.MaxKeyBytes), new KeyTerms(Chance(50) ? 0 : _random.NextInt64(long.MaxValue), 0), Chance(50) ? 0 : _random.NextInt64(long.MaxValue)),
            _ => null,
        };
    }

    private SessionId Session() => new(new(Number() | 1), (uint)_random.NextInt64(uint.MaxValue));

    private Command Write() => _random.Next(6) switch
    {
        0 => Shards.Command.Put(Bytes(1, 40), Bytes(0, 200), _random.NextInt64(long.MaxValue)),
        1 => Shards.Command.Delete(Bytes(1, 40)),
        2 => Shards.Command.CompareAndSwap(Bytes(1, 40), Version(), Bytes(0, 200)),
        3 => Shards.Command.PutIfAbsent(Bytes(1, 40), Bytes(0, 200)),
        4 => Shards.Command.Increment(Bytes(1, 40), Chance(20) ? long.MinValue : _random.NextInt64(-1000, 1000)),
        _ => Shards.Command.CompareAndDelete(Bytes(1, 40), Version()),
    };

    private ReadOnlyMemory<byte>[] Keys() => [.. Enumerable.Range(0, _random.Next(1, 6)).Select(i => (ReadOnlyMemory<byte>)new byte[] { (byte)i, (byte)_random.Next(256) })];

    private ScanPage Page(ResultCode code)
    {
        var records = Many(4, () => new Record(Bytes(1, 20), Bytes(0, 50), Version(), _random.NextInt64(long.MaxValue)));
        Array.Sort(records, (a, b) => a.Key.Span.SequenceCompareTo(b.Key.Span));
        return new ScanPage(code, [.. records.Where((r, i) => i == 0 || !r.Key.Span.SequenceEqual(records[i - 1].Key.Span))], Chance(50));
    }

    private Version Version() => Chance(30) ? default : new((uint)_random.NextInt64(uint.MaxValue), (uint)_random.Next(5), Number(), Number());

    private NodeId Node() => new(Chance(10) ? "knöten-" + _random.Next(100) : "n" + _random.Next(100));

    private string? Address() => Chance(30) ? null : $"127.0.0.1:{_random.Next(65536)}";

    private bool Chance(int percent) => _random.Next(100) < percent;

    private T[] Many<T>(int most, Func<T> make) => [.. Enumerable.Range(0, _random.Next(most + 1)).Select(_ => make())];
}
