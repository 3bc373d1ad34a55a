using Flotilla.Raft;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Pb = Flotilla.Wire.Protos;
using Version = Flotilla.Data.Version;

namespace Flotilla.Wire.Peers;

/// <summary>Questions of those who watch, and their answers.</summary>
internal static class WatchCodec
{
    /// <summary>What may be asked for at once.</summary>
    public const int MaxBytes = 1 << 20;

    private const int MaxShard = 1 << 20;

    public static Pb.Watch ToProto(WatchPull pull) => new()
    {
        Kind = (uint)pull.Kind,
        Through = pull.From.Through.Value,
        Next = pull.From.Next,
        Filter = Check.Wrap(pull.Filter.Bytes),
        IsKey = pull.Filter.IsKey,
        MaxBytes = (uint)pull.MaxBytes,
        Move = pull.Move.Value,
    };

    public static WatchPull FromProto(Pb.Watch proto)
    {
        Check.That(proto.Kind <= (uint)PullKind.Freeze, "a watch asks for nothing that is known here");
        var maxBytes = Check.Between(proto.MaxBytes, 1, MaxBytes, "the size of a watch is out of range");
        return new WatchPull((PullKind)proto.Kind, Position(proto.Through, proto.Next), new EventFilter(proto.Filter.Memory, proto.IsKey), maxBytes, new LogIndex(proto.Move));
    }

    public static Pb.WatchResult ToProto(WatchReply reply)
    {
        var proto = new Pb.WatchResult { Code = (uint)reply.Code, Through = reply.Reached.Through.Value, Next = reply.Reached.Next };
        foreach (var read in reply.Events)
        {
            proto.Events.Add(new Pb.Event
            {
                Kind = (uint)read.Kind,
                Through = read.After.Through.Value,
                Next = read.After.Next,
                Key = Check.Wrap(read.Key),
                Value = Check.Wrap(read.Value),
                Version = VersionProto.Of(read.Version),
                Source = (uint)read.Source.Value,
                Move = read.Move.Value,
            });
        }

        return proto;
    }

    public static WatchReply FromProto(Pb.WatchResult proto)
    {
        Check.That(proto.Code <= (uint)PullCode.Overloaded, "an answer to a watch has no code that is known here");
        var reached = Position(proto.Through, proto.Next);
        var events = proto.Events.Count == 0 ? [] : new ShardEvent[proto.Events.Count];
        for (var i = 0; i < events.Length; i++)
        {
            events[i] = Read(proto.Events[i]);
            Check.That(i == 0 || events[i - 1].After < events[i].After, "events are out of order");
        }

        Check.That(events.Length == 0 || events[^1].After <= reached, "events lie behind where they end");
        return new WatchReply((PullCode)proto.Code, reached, events);
    }

    private static ShardEvent Read(Pb.Event proto)
    {
        Check.That(proto.Kind <= (uint)ShardEventKind.Ended, "an event is of no kind that is known here");
        var kind = (ShardEventKind)proto.Kind;
        var after = Position(proto.Through, proto.Next);
        Check.That(after.Next > 0, "an event is in no entry");
        switch (kind)
        {
            case ShardEventKind.Came:
                Check.That(proto.Key.Length == 0 && proto.Move > 0, "a mark makes no sense");
                return new ShardEvent(kind, after, default, default, Version.None, new ShardId(Check.Between(proto.Source, 1, MaxShard, "a mark names no shard")), new LogIndex(proto.Move));
            case ShardEventKind.Ended:
                Check.That(proto.Key.Length == 0, "a mark makes no sense");
                return new ShardEvent(kind, after, default, default, Version.None, default, new LogIndex(Math.Min(proto.Move, 1)));
            case ShardEventKind.Put or ShardEventKind.Delete or ShardEventKind.Expire:
                return new ShardEvent(kind, after, Check.Key(proto.Key), proto.Value.Memory, VersionProto.Read(proto.Version), default, default);
            default:
                throw new PeerFormatException("an event is of no kind that is known here");
        }
    }

    private static EventPosition Position(ulong through, uint next)
    {
        Check.That(through < ulong.MaxValue, "a position is out of range");
        return new EventPosition(new LogIndex(through), next);
    }
}
