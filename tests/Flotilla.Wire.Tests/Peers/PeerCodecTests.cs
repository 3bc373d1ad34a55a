using System.Buffers;
using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Wire.Peers;
using Google.Protobuf;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Tests.Peers;

public sealed class PeerCodecTests
{
    [Fact]
    public void Every_frame_comes_back_as_it_was_sent()
    {
        var into = new PeerFrame();
        for (var seed = 0; seed < 5000; seed++)
        {
            var frame = new RandomFrames(seed).Frame();
            PeerCodec.Decode(new ReadOnlySequence<byte>(PeerCodec.ToProto(frame).ToByteArray()), into);
            Assert.Equal(FrameText.Of(frame), FrameText.Of(into));
        }
    }

    [Fact]
    public void A_question_to_join_and_its_answer_come_back_as_they_were_sent_and_nonsense_is_refused()
    {
        var ask = new JoinAsk(1, new NodeId("d"), new Incarnation(7));
        Assert.Equal(ask, JoinCodec.FromProto(Pb.JoinRequest.Parser.ParseFrom(JoinCodec.ToProto(ask).ToByteArray())));
        ClusterMember[] members = [new(new NodeId("a"), "h:1"), new(new NodeId("b"), "h:2")];
        var answer = new JoinAnswer(5, members, 3, 2, 9, [new(new NodeId("c"), "h:3")]);
        var proto = JoinCodec.ToProto(answer);
        Assert.Equal(FrameText.Of(answer), FrameText.Of(JoinCodec.FromProto(Pb.JoinReply.Parser.ParseFrom(proto.ToByteArray()))));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.JoinRequest()));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.JoinReply()));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.JoinReply(proto) { Shards = 1001 }));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.JoinReply(proto) { Replicas = 0 }));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.JoinReply(proto) { ClusterId = 0 }));

        var told = JoinCodec.ToProto(new AdoptAsk(2, new NodeId("d"), new NodeId("a"), answer));
        var read = JoinCodec.FromProto(Pb.AdoptRequest.Parser.ParseFrom(told.ToByteArray()));
        Assert.Equal((2u, new NodeId("d"), new NodeId("a"), FrameText.Of(answer)), (read.Version, read.Node, read.Caller, FrameText.Of(read.Cluster)));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.AdoptRequest()));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.AdoptRequest(told) { NodeId = "" }));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.AdoptRequest(told) { Caller = new string('x', 256) }));
        Assert.Throws<PeerFormatException>(() => JoinCodec.FromProto(new Pb.AdoptRequest(told) { Cluster = new Pb.JoinReply() }));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void Every_type_of_message_comes_back_as_it_was_sent(int kind)
    {
        for (var seed = 0; seed < 500; seed++)
        {
            var frame = new PeerFrame();
            frame.Messages.Add(new PeerEnvelope(new GroupId(7), new RandomFrames(seed).Message(kind)));
            Assert.Equal(FrameText.Of(frame.Messages[0].Message), FrameText.Of(Decode(PeerCodec.ToProto(frame)).Messages[0].Message));
        }
    }

    [Fact]
    public void Every_type_of_message_has_a_place_on_the_wire()
    {
        var types = typeof(Message).Assembly.GetTypes().Where(t => t.IsSubclassOf(typeof(Message))).ToHashSet();
        var drawn = Enumerable.Range(0, 14).Select(kind => new RandomFrames(1).Message(kind).GetType()).ToHashSet();
        Assert.True(types.SetEquals(drawn), $"these need a place in peer.proto, MessageCodec and RandomFrames: {string.Join(", ", types.Except(drawn))}");
        Assert.Equal(types.Count, Enum.GetValues<Pb.Envelope.MessageOneofCase>().Length - 1);
    }

    [Fact]
    public void What_is_decoded_keeps_nothing_of_the_buffer_that_it_came_in()
    {
        var frame = new RandomFrames(3).Frame();
        frame.Messages.Add(new PeerEnvelope(new GroupId(1), new AppendEntries(new(1), default, default, [new Entry(new(1), new(1), EntryKind.Command, new byte[] { 1, 2, 3 })], default, 0)));
        var bytes = PeerCodec.ToProto(frame).ToByteArray();
        var into = new PeerFrame();
        PeerCodec.Decode(new ReadOnlySequence<byte>(bytes), into);
        var before = FrameText.Of(into);
        Array.Fill(bytes, (byte)0xee);
        Assert.Equal(before, FrameText.Of(into));
    }

    [Fact]
    public void Fields_of_a_later_version_are_passed_over()
    {
        var frame = new RandomFrames(4).Frame();
        byte[] later = [.. PeerCodec.ToProto(frame).ToByteArray(), 0xfa, 0x07, 2, 1, 2];
        var into = new PeerFrame();
        PeerCodec.Decode(new ReadOnlySequence<byte>(later), into);
        Assert.Equal(FrameText.Of(frame), FrameText.Of(into));
    }

    [Fact]
    public void A_gap_between_entries_is_the_senders_mistake()
    {
        var frame = new PeerFrame();
        frame.Messages.Add(new PeerEnvelope(new GroupId(1), new AppendEntries(new(2), new(5), new(1), [new Entry(new(7), new(2), EntryKind.Command, default)], default, 0)));
        Assert.Throws<ArgumentException>(() => PeerCodec.ToProto(frame));
    }

    [Fact]
    public void A_call_that_the_other_side_would_refuse_is_not_even_made()
    {
        var command = Command.Put("k"u8.ToArray(), default);
        Assert.Throws<ArgumentException>(() => CallRequest.Write(1, new(0), 0, 1000, command));
        Assert.Throws<ArgumentException>(() => CallRequest.Write(1, new(1), 16, 1000, command));
        Assert.Throws<ArgumentException>(() => CallRequest.Write(1, new(1), 0, 1000, default));
        Assert.Throws<ArgumentException>(() => CallRequest.Get(1, new(1), 0, 1000, default, false));
        Assert.All(Unsound(command), wrong => Assert.Throws<ArgumentException>(() => CallRequest.Write(1, new(1), 0, 1000, wrong)));
        Assert.Throws<ArgumentException>(() => CallRequest.ScanPage(1, new(1), 0, 1000, new ScanRequest(default, default, 0, 1000), false));
        Assert.Equal(1, CallRequest.Write(1, new(1), 0, -7, command).TimeoutMs);
        Assert.Equal(600_000, CallRequest.Write(1, new(1), 0, int.MaxValue, command).TimeoutMs);
    }

    private static Command[] Unsound(Command put)
    {
        var session = new SessionId(new(5), 0);
        return
        [
            put with { Kind = CommandKind.OpenSession },
            put with { Once = new Once.Opening() },
            put with { Once = new Once.Closing(session) },
            put with { Once = new Once.InSession(default, 1, 1) },
            put with { Once = new Once.InSession(session, 1, 2) },
            put with { Once = new Once.ByKey(default) },
            put with { Once = new Once.ByKey(new byte[256]) },
            Command.CloseSession(default),
            Command.OpenSession() with { Once = null },
        ];
    }

    [Theory]
    [InlineData("08 01 12 01 6B 1A 01 76 3A 0B 0A 02 08 05 10 E8 07 18 02 20 01", "a retry in a session")]
    [InlineData("08 05 12 01 6B 30 06 42 07 0A 02 69 64 10 E8 07", "an increment by key")]
    [InlineData("08 07", "an opening")]
    [InlineData("08 08 4A 04 08 05 10 03", "a closing")]
    public void Commands_that_take_effect_once_look_on_the_wire_as_they_always_did(string hex, string what)
    {
        var command = what switch
        {
            "a retry in a session" => Command.Put("k"u8.ToArray(), "v"u8.ToArray()) with { Once = new Once.InSession(new SessionId(new(5), 0), 1002, 1000, IsRetry: true) },
            "an increment by key" => Command.Increment("k"u8.ToArray(), 3) with { Once = new Once.ByKey("id"u8.ToArray(), new KeyTerms(1000, 0)) },
            "an opening" => Command.OpenSession(),
            _ => Command.CloseSession(new SessionId(new(5), 3)),
        };
        var frame = new PeerFrame();
        frame.Requests.Add(CallRequest.Write(1, new(1), 0, 1000, command));
        Assert.Equal(hex, string.Join(' ', PeerCodec.ToProto(frame).Requests[0].Command.ToByteArray().Select(b => $"{b:X2}")));
    }

    public static TheoryData<string> Malformed => [.. MalformedFrames.Keys];

    private static Dictionary<string, Pb.PeerFrame> MalformedFrames { get; } = new(StringComparer.Ordinal)
    {
        ["an envelope without a group"] = Envelope(new Pb.Envelope { TimeoutNow = new() }),
        ["an envelope without a message"] = Envelope(new Pb.Envelope { Group = 1 }),
        ["an entry of an unknown kind"] = Append(new Pb.AppendEntries { Entries = { new Pb.Entry { Kind = 3 } } }),
        ["an entry whose kind is out of range for a byte"] = Append(new Pb.AppendEntries { Entries = { new Pb.Entry { Kind = 256 } } }),
        ["an entry of a term above the leader's"] = Append(new Pb.AppendEntries { Entries = { new Pb.Entry { Term = 10 } } }),
        ["entries whose terms fall"] = Append(new Pb.AppendEntries { Entries = { new Pb.Entry { Term = 5 }, new Pb.Entry { Term = 4 } } }),
        ["an entry of a term below the one before it"] = Append(new Pb.AppendEntries { PrevLogTerm = 6, Entries = { new Pb.Entry { Term = 5 } } }),
        ["entries beyond the highest index"] = Append(new Pb.AppendEntries { PrevLogIndex = ulong.MaxValue, Entries = { new Pb.Entry { Term = 5 } } }),
        ["a known peer without a name"] = Envelope(new Pb.Envelope { Group = 1, RequestVoteReply = new() { Known = { new Pb.KnownPeer { Incarnation = 1 } } } }),
        ["a known peer without an incarnation"] = Envelope(new Pb.Envelope { Group = 1, RequestVoteReply = new() { Known = { new Pb.KnownPeer { Peer = "n1" } } } }),
        ["a hello without a name"] = new() { Hello = new() { ProtocolVersion = 1, Incarnation = 1 } },
        ["a hello with an endless name"] = new() { Hello = new() { ProtocolVersion = 1, Incarnation = 1, NodeId = new string('n', 256) } },
        ["a hello without an incarnation"] = new() { Hello = new() { ProtocolVersion = 1, NodeId = "n1" } },
        ["a hello without a version"] = new() { Hello = new() { Incarnation = 1, NodeId = "n1" } },
        ["a call that asks for nothing"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1 } } },
        ["a call to no shard"] = new() { Requests = { new Pb.CallRequest { TimeoutMs = 1, Get = new() { Key = ByteString.CopyFromUtf8("k") } } } },
        ["a call without time"] = new() { Requests = { new Pb.CallRequest { Shard = 1, Get = new() { Key = ByteString.CopyFromUtf8("k") } } } },
        ["a call that goes round and round"] = new() { Requests = { new Pb.CallRequest { Shard = 1, Hops = 16, TimeoutMs = 1, Get = new() { Key = ByteString.CopyFromUtf8("k") } } } },
        ["a get of nothing"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Get = new() } } },
        ["a stale write"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Stale = true, Command = new() { Kind = 1, Key = ByteString.CopyFromUtf8("k") } } } },
        ["a command of no kind"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Command = new() { Key = ByteString.CopyFromUtf8("k") } } } },
        ["a command of an unknown kind"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Command = new() { Kind = 10, Key = ByteString.CopyFromUtf8("k") } } } },
        ["a command with a time to live beyond all time"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Command = new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), TtlMs = ulong.MaxValue } } } },
        ["an opening with a key"] = Write(new() { Kind = 7, Key = ByteString.CopyFromUtf8("k") }),
        ["an opening within a session"] = Write(new() { Kind = 7, InSession = new() { Session = new() { Index = 1 } } }),
        ["a closing of no session"] = Write(new() { Kind = 8 }),
        ["a closing of a session at no place"] = Write(new() { Kind = 8, Closing = new() { Place = 1 } }),
        ["a closing with a value"] = Write(new() { Kind = 8, Value = ByteString.CopyFromUtf8("v"), Closing = new() { Index = 1 } }),
        ["a put that closes a session"] = Write(new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), Closing = new() { Index = 1 } }),
        ["a put in no session"] = Write(new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), InSession = new() { Mark = 1 } }),
        ["a sequence beyond 64 bits"] = Write(new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), InSession = new() { Session = new() { Index = 1 }, Mark = ulong.MaxValue, Ahead = 1 } }),
        ["an empty idempotency key"] = Write(new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), ByKey = new() }),
        ["a long idempotency key"] = Write(new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), ByKey = new() { Key = ByteString.CopyFrom(new byte[256]) } }),
        ["an idempotency key that ends beyond all time"] = Write(new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), ByKey = new() { Key = ByteString.CopyFromUtf8("i"), UntilMs = ulong.MaxValue } }),
        ["an idempotency key beyond all time"] = Write(new() { Kind = 1, Key = ByteString.CopyFromUtf8("k"), ByKey = new() { Key = ByteString.CopyFromUtf8("i"), LifeMs = ulong.MaxValue } }),
        ["a scan without a limit"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Scan = new() { MaxBytes = 1 } } } },
        ["keys out of order"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Scan = new() { MaxBytes = 1, Limit = 1, Keys = { ByteString.CopyFromUtf8("b"), ByteString.CopyFromUtf8("a") } } } } },
        ["an empty key among several"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Scan = new() { MaxBytes = 1, Limit = 1, Keys = { ByteString.Empty, ByteString.CopyFromUtf8("a") } } } } },
        ["too many keys"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Scan = new() { MaxBytes = 1, Limit = 1, Keys = { Enumerable.Range(0, 1001).Select(i => ByteString.CopyFromUtf8($"{i:D4}")) } } } } },
        ["a scan for everything at once"] = new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Scan = new() { MaxBytes = uint.MaxValue, Limit = 1 } } } },
        ["an answer that says nothing"] = new() { Replies = { new Pb.CallReply { Id = 1 } } },
        ["an answer with an unknown code"] = new() { Replies = { new Pb.CallReply { Id = 1, Result = new() { Code = 16 } } } },
        ["a page out of order"] = new() { Replies = { new Pb.CallReply { Id = 1, Page = new() { Records = { new Pb.Record { Key = ByteString.CopyFromUtf8("b") }, new Pb.Record { Key = ByteString.CopyFromUtf8("a") } } } } } },
        ["a question whether to be quiet without a boot number"] = Envelope(new Pb.Envelope { Group = 1, GoQuiet = new() { Index = 1 } }),
        ["a question whether to be quiet of a loop beyond all loops"] = Envelope(new Pb.Envelope { Group = 1, GoQuiet = new() { Boot = 1, Loop = PeerFrame.MaxLoops } }),
        ["a heartbeat of a loop beyond all loops"] = new() { Heartbeats = { new Pb.NodeHeartbeat { Loop = PeerFrame.MaxLoops } } },
        ["empty gossip"] = new() { Gossip = { ByteString.Empty } },
        ["gossip without bounds"] = new() { Gossip = { ByteString.CopyFrom(new byte[PeerFrame.MaxGossipBytes + 1]) } },
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public void What_no_correct_peer_sends_is_refused(string what) =>
        Assert.Throws<PeerFormatException>(() => Decode(MalformedFrames[what]));

    private static Pb.PeerFrame Envelope(Pb.Envelope envelope) => new() { Messages = { envelope } };

    private static Pb.PeerFrame Append(Pb.AppendEntries append) => Envelope(new Pb.Envelope { Group = 1, Term = 9, AppendEntries = append });

    private static Pb.PeerFrame Write(Pb.Command command) => new() { Requests = { new Pb.CallRequest { Shard = 1, TimeoutMs = 1, Command = command } } };

    private static PeerFrame Decode(Pb.PeerFrame proto)
    {
        var into = new PeerFrame();
        PeerCodec.Decode(new ReadOnlySequence<byte>(proto.ToByteArray()), into);
        return into;
    }
}
