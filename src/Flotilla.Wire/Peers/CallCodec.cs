using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Google.Protobuf;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Peers;

/// <summary>Forwarded calls and their answers.</summary>
internal static class CallCodec
{
    private const int MaxHops = 15;
    private const int MaxTimeoutMs = 600_000;
    private const int MaxScanRecords = 10_000;
    private const int MaxShard = 1 << 20;
    private const int MaxScanBytes = 16 << 20;

    /// <summary>A call's time within what the wire takes.</summary>
    public static int TimeInRange(int timeoutMs) => Math.Clamp(timeoutMs, 1, MaxTimeoutMs);

    /// <summary>The same checks as in <see cref="FromProto(Pb.CallRequest)"/>, for the sender: a call that would be refused there is a programmer error here.</summary>
    public static CallRequest Asserted(in CallRequest request)
    {
        var wrong = request.Shard.Value is < 1 or > MaxShard ? "names no shard"
            : request.Hops is < 0 or > MaxHops ? "was forwarded too often"
            : request.Kind switch
            {
                CallKind.Command => CommandProto.FaultOf(request.Command),
                CallKind.Watch => request.Watch is not { MaxBytes: >= 1 and <= WatchCodec.MaxBytes } ? "asks for no events, or too many" : null,
                CallKind.Change => request.Change is null ? "wishes nothing" : null,
                CallKind.Get => request.Key.IsEmpty ? "has an empty key" : null,
                _ when request.Scan.Keys is { } keys && (keys.Count is < 1 or > ScanRequest.MaxKeys || keys[0].IsEmpty || !AreInOrder(keys)) => "reads no key, too many, an empty one, or not in their order",
                _ => request.Scan.Limit is < 1 or > MaxScanRecords || request.Scan.MaxBytes is < 1 or > MaxScanBytes ? "has a bound out of range" : null,
            };
        return wrong is null ? request : throw new ArgumentException($"a call to shard {request.Shard} {wrong}", nameof(request));
    }

    public static Pb.CallRequest ToProto(in CallRequest request)
    {
        var proto = new Pb.CallRequest { Id = request.Id, Shard = (uint)request.Shard.Value, Hops = (uint)request.Hops, TimeoutMs = (uint)request.TimeoutMs, Stale = request.Stale };
        switch (request.Kind)
        {
            case CallKind.Command:
                proto.Command = CommandProto.Of(request.Command);
                break;
            case CallKind.Get:
                proto.Get = new Pb.Get { Key = Check.Wrap(request.Key) };
                break;
            case CallKind.Scan:
                proto.Scan = new Pb.Scan { From = Check.Wrap(request.Scan.From), Prefix = Check.Wrap(request.Scan.Prefix), Limit = (uint)request.Scan.Limit, MaxBytes = (uint)request.Scan.MaxBytes };
                proto.Scan.Keys.AddRange((request.Scan.Keys ?? []).Select(static key => Check.Wrap(key)));
                break;
            case CallKind.Watch:
                proto.Watch = WatchCodec.ToProto(request.Watch!);
                break;
            case CallKind.Change:
                var change = request.Change!;
                proto.Change = new Pb.ShardChange { Kind = (uint)change.Kind, NodeId = change.Node.Value ?? "", Address = change.Address ?? "", Incarnation = change.Incarnation.Value, Index = change.Index.Value, Mode = change.Kind == ChangeKind.SetMode ? (uint)change.Mode : 0 };
                break;
            default:
                throw new ArgumentException($"a call of kind {request.Kind}", nameof(request));
        }

        return proto;
    }

    public static CallRequest FromProto(Pb.CallRequest proto)
    {
        var shard = new ShardId(Check.Between(proto.Shard, 1, MaxShard, "a call names no shard"));
        var hops = Check.Between(proto.Hops, 0, MaxHops, "a call was forwarded too often");
        var timeoutMs = Check.Between(proto.TimeoutMs, 1, MaxTimeoutMs, "the time of a call is out of range");
        switch (proto.CallCase)
        {
            case Pb.CallRequest.CallOneofCase.Command:
                Check.That(!proto.Stale, "a write says that it may be stale");
                return CallRequest.Write(proto.Id, shard, hops, timeoutMs, CommandProto.Read(proto.Command));
            case Pb.CallRequest.CallOneofCase.Get:
                return CallRequest.Get(proto.Id, shard, hops, timeoutMs, Check.Key(proto.Get.Key), proto.Stale);
            case Pb.CallRequest.CallOneofCase.Scan:
                var limit = Check.Between(proto.Scan.Limit, 1, MaxScanRecords, "the limit of a scan is out of range");
                var maxBytes = Check.Between(proto.Scan.MaxBytes, 1, MaxScanBytes, "the size of a scan is out of range");
                return CallRequest.ScanPage(proto.Id, shard, hops, timeoutMs, new ScanRequest(proto.Scan.From.Memory, proto.Scan.Prefix.Memory, limit, maxBytes) { Keys = KeysOf(proto.Scan) }, proto.Stale);
            case Pb.CallRequest.CallOneofCase.Watch:
                return new(proto.Id, shard, hops, timeoutMs, false, CallKind.Watch, default, default, default) { Watch = WatchCodec.FromProto(proto.Watch) };
            case Pb.CallRequest.CallOneofCase.Change:
                var change = proto.Change;
                Check.That(change.Kind is >= (uint)ChangeKind.AddMember and <= (uint)ChangeKind.SetMode, "a change is of no kind that is known here");
                Check.That(change.Kind == (uint)ChangeKind.SetMode ? change.Mode is >= (uint)ShardMode.Raft and <= (uint)ShardMode.Async : change.Mode == 0, "a switch names no mode, or something else does");
                return new(proto.Id, shard, hops, timeoutMs, false, CallKind.Change, default, default, default)
                {
                    Change = new ShardChange((ChangeKind)change.Kind, Check.NodeOrNone(change.NodeId), Check.Optional(change.Address), new Incarnation(change.Incarnation), new LogIndex(change.Index), change.Mode == 0 ? ShardMode.Raft : (ShardMode)change.Mode),
                };
            default:
                throw new PeerFormatException("a call asks for nothing that is known here");
        }
    }

    private static ReadOnlyMemory<byte>[]? KeysOf(Pb.Scan scan)
    {
        Check.That(scan.Keys.Count <= ScanRequest.MaxKeys, "a call reads too many keys");
        ReadOnlyMemory<byte>[]? keys = scan.Keys.Count == 0 ? null : [.. scan.Keys.Select(static key => Check.Key(key))];
        Check.That(keys is null || AreInOrder(keys), "the keys of a call are out of order");
        return keys;
    }

    private static bool AreInOrder(IReadOnlyList<ReadOnlyMemory<byte>> keys)
    {
        for (var i = 1; i < keys.Count; i++)
        {
            if (keys[i - 1].Span.SequenceCompareTo(keys[i].Span) >= 0)
            {
                return false;
            }
        }

        return true;
    }

    public static Pb.CallReply ToProto(in CallReply reply)
    {
        var proto = new Pb.CallReply { Id = reply.Id, Leader = reply.Leader.Value ?? "", LeaderHttp = reply.LeaderHttp ?? "", Detail = Shorten(reply.Detail) };
        if (reply.Change is { } change)
        {
            proto.Change = new Pb.ChangeResult { Code = (uint)change.Code, Incarnation = change.Incarnation.Value, Index = change.Index.Value };
        }
        else if (reply.Watch is { } watch)
        {
            proto.Watch = WatchCodec.ToProto(watch);
        }
        else if (reply.Page is { } page)
        {
            proto.Page = ToProto(page);
        }
        else
        {
            proto.Result = new Pb.Result { Code = (uint)reply.Result.Code, Version = VersionProto.Of(reply.Result.Version), Value = Check.Wrap(reply.Result.Value) };
        }

        return proto;
    }

    public static CallReply FromProto(Pb.CallReply proto)
    {
        var leader = Check.NodeOrNone(proto.Leader);
        var http = Check.Optional(proto.LeaderHttp);
        var detail = Check.Optional(proto.Detail, Check.MaxTextChars);
        if (proto.Change is { } change)
        {
            Check.That(change.Code <= (uint)ChangeCode.OtherShard && proto.AnswerCase == Pb.CallReply.AnswerOneofCase.None, "an answer to a change makes no sense");
            return new CallReply(proto.Id, default, null, leader, http, detail) { Change = new ChangeReply((ChangeCode)change.Code, new Incarnation(change.Incarnation), new LogIndex(change.Index)) };
        }

        if (proto.Watch is { } watch)
        {
            Check.That(proto.AnswerCase == Pb.CallReply.AnswerOneofCase.None, "an answer to a watch makes no sense");
            return new CallReply(proto.Id, default, null, leader, http, detail) { Watch = WatchCodec.FromProto(watch) };
        }

        return proto.AnswerCase switch
        {
            Pb.CallReply.AnswerOneofCase.Result => new CallReply(proto.Id, new CommandResult(Code(proto.Result.Code), VersionProto.Read(proto.Result.Version), proto.Result.Value.Memory), null, leader, http, detail),
            Pb.CallReply.AnswerOneofCase.Page => new CallReply(proto.Id, default, FromProto(proto.Page), leader, http, detail),
            _ => throw new PeerFormatException("an answer holds nothing that is known here"),
        };
    }

    private static Pb.Page ToProto(ScanPage page)
    {
        var proto = new Pb.Page { Code = (uint)page.Code, More = page.More, Slots = SlotBits.Of(page.Slots) };
        foreach (var record in page.Records)
        {
            proto.Records.Add(new Pb.Record { Key = Check.Wrap(record.Key), Value = Check.Wrap(record.Value), Version = VersionProto.Of(record.Version), ExpiresAtMs = (ulong)record.ExpiresAtMs });
        }

        return proto;
    }

    private static ScanPage FromProto(Pb.Page proto)
    {
        Check.That(proto.Records.Count <= MaxScanRecords, "a page has too many records");
        var records = proto.Records.Count == 0 ? [] : new Record[proto.Records.Count];
        ByteString? last = null;
        for (var i = 0; i < records.Length; i++)
        {
            var record = proto.Records[i];
            Check.That(last is null || last.Span.SequenceCompareTo(record.Key.Span) < 0, "the records of a page are out of order");
            last = record.Key;
            records[i] = new Record(Check.Key(record.Key), record.Value.Memory, VersionProto.Read(record.Version), Check.NonNegative(record.ExpiresAtMs));
        }

        return new ScanPage(Code(proto.Code), records, proto.More) { Slots = SlotBits.Read(proto.Slots) };
    }

    private static ResultCode Code(uint code)
    {
        Check.That(code <= (uint)ResultCode.CrossShard, "an answer has no code that is known here");
        return (ResultCode)code;
    }

    private static string Shorten(string? detail) => detail is null ? "" : detail.Length <= Check.MaxTextChars ? detail : detail[..Check.MaxTextChars];
}
