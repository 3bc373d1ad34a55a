using Flotilla.Raft;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Peers;

/// <summary>Messages between replicas.</summary>
internal static class MessageCodec
{
    private static readonly Pb.TimeoutNow TimeoutNow = new();
    private static readonly Pb.EmptyRequest EmptyRequest = new();

    public static Pb.Envelope ToProto(in PeerEnvelope envelope)
    {
        var message = envelope.Message;
        var proto = new Pb.Envelope { Group = envelope.Group.Value, Term = message.Term.Value };
        switch (message)
        {
            case AppendEntries m:
                proto.AppendEntries = ToProto(m);
                break;
            case AppendEntriesReply m:
                proto.AppendEntriesReply = new Pb.AppendEntriesReply
                {
                    Success = m.Success,
                    MatchIndex = m.MatchIndex.Value,
                    ConflictIndex = m.ConflictIndex.Value,
                    ConflictTerm = m.ConflictTerm.Value,
                    RejectedIndex = m.RejectedIndex.Value,
                    Round = m.Round,
                    NoRoom = m.NoRoom,
                };
                break;
            case InstallSnapshot m:
                proto.InstallSnapshot = ToProto(m);
                break;
            case InstallSnapshotReply m:
                proto.InstallSnapshotReply = new Pb.InstallSnapshotReply { Id = m.Id, NextOffset = (ulong)m.NextOffset, MatchIndex = m.MatchIndex.Value };
                break;
            case NotMember m:
                proto.NotMember = new Pb.NotMember { ConfigurationIndex = m.ConfigurationIndex.Value };
                break;
            case RequestVote m:
                proto.RequestVote = new Pb.RequestVote { PreVote = m.PreVote, LastLogIndex = m.LastLogIndex.Value, LastLogTerm = m.LastLogTerm.Value, Transfer = m.Transfer };
                break;
            case RequestVoteReply m:
                proto.RequestVoteReply = ToProto(m);
                break;
            case Raft.TimeoutNow:
                proto.TimeoutNow = TimeoutNow;
                break;
            case ReadIndexRequest m:
                proto.ReadIndexRequest = new Pb.ReadIndexRequest { Id = m.Id };
                break;
            case ReadIndexReply m:
                proto.ReadIndexReply = new Pb.ReadIndexReply { Id = m.Id, Ok = m.Ok, Index = m.Index.Value };
                break;
            case Raft.EmptyRequest:
                proto.EmptyRequest = EmptyRequest;
                break;
            case EmptyReply m:
                proto.EmptyReply = new Pb.EmptyReply { Empty = m.Empty, Begun = m.Begun, Stored = m.Stored.Value };
                break;
            case GoQuiet m:
                proto.GoQuiet = new Pb.GoQuiet { Index = m.Index.Value, Boot = m.Boot, Loop = m.Loop, Question = m.Question };
                break;
            case GoQuietReply m:
                proto.GoQuietReply = new Pb.GoQuietReply { Question = m.Question, Agrees = m.Agrees };
                break;
            default:
                throw new ArgumentException($"{message.GetType().Name} has no place in peer.proto", nameof(envelope));
        }

        return proto;
    }

    public static PeerEnvelope FromProto(Pb.Envelope proto)
    {
        Check.That(proto.Group != 0, "a message names no group");
        var term = new Term(proto.Term);
        Message message = proto.MessageCase switch
        {
            Pb.Envelope.MessageOneofCase.AppendEntries => FromProto(term, proto.AppendEntries),
            Pb.Envelope.MessageOneofCase.AppendEntriesReply => FromProto(term, proto.AppendEntriesReply),
            Pb.Envelope.MessageOneofCase.NotMember => new NotMember(term, new(proto.NotMember.ConfigurationIndex)),
            Pb.Envelope.MessageOneofCase.InstallSnapshot => FromProto(term, proto.InstallSnapshot),
            Pb.Envelope.MessageOneofCase.InstallSnapshotReply =>
                new InstallSnapshotReply(term, proto.InstallSnapshotReply.Id, Check.NonNegative(proto.InstallSnapshotReply.NextOffset), new(proto.InstallSnapshotReply.MatchIndex)),
            Pb.Envelope.MessageOneofCase.RequestVote => new RequestVote(term, proto.RequestVote.PreVote, new(proto.RequestVote.LastLogIndex), new(proto.RequestVote.LastLogTerm), proto.RequestVote.Transfer),
            Pb.Envelope.MessageOneofCase.RequestVoteReply => FromProto(term, proto.RequestVoteReply),
            Pb.Envelope.MessageOneofCase.TimeoutNow => new TimeoutNow(term),
            Pb.Envelope.MessageOneofCase.ReadIndexRequest => new ReadIndexRequest(term, proto.ReadIndexRequest.Id),
            Pb.Envelope.MessageOneofCase.ReadIndexReply => new ReadIndexReply(term, proto.ReadIndexReply.Id, proto.ReadIndexReply.Ok, new(proto.ReadIndexReply.Index)),
            Pb.Envelope.MessageOneofCase.EmptyRequest => new EmptyRequest(term),
            Pb.Envelope.MessageOneofCase.EmptyReply => new EmptyReply(term, proto.EmptyReply.Empty, proto.EmptyReply.Begun, new(proto.EmptyReply.Stored)),
            Pb.Envelope.MessageOneofCase.GoQuiet => FromProto(term, proto.GoQuiet),
            Pb.Envelope.MessageOneofCase.GoQuietReply => new GoQuietReply(term, proto.GoQuietReply.Question, proto.GoQuietReply.Agrees),
            _ => throw new PeerFormatException("an envelope holds no message that is known here"),
        };
        return new PeerEnvelope(new GroupId(proto.Group), message);
    }

    private static GoQuiet FromProto(Term term, Pb.GoQuiet proto)
    {
        Check.That(proto.Boot > 0 && proto.Loop < PeerFrame.MaxLoops, "a question whether to be quiet names no loop that could be");
        return new GoQuiet(term, new(proto.Index), proto.Boot, proto.Loop, proto.Question);
    }

    private static Pb.AppendEntries ToProto(AppendEntries message)
    {
        var proto = new Pb.AppendEntries
        {
            PrevLogIndex = message.PrevLogIndex.Value,
            PrevLogTerm = message.PrevLogTerm.Value,
            LeaderCommit = message.LeaderCommit.Value,
            Round = message.Round,
            Seat = message.Seat.Value,
            Leader = message.Leader.Value ?? "",
        };
        foreach (var next in message.Route)
        {
            proto.Route.Add(next.Value);
        }

        var entries = message.Entries;
        var index = message.PrevLogIndex;
        for (var i = 0; i < entries.Count; i++)
        {
            var entry = entries[i];
            index = index.Next;
            if (entry.Index != index)
            {
                // The index is not on the wire: a gap here would become another entry there.
                throw new ArgumentException($"entry {entry.Index} stands where {index} belongs", nameof(message));
            }

            proto.Entries.Add(new Pb.Entry { Term = entry.Term.Value, Kind = (uint)entry.Kind, Payload = Check.Wrap(entry.Payload) });
        }

        return proto;
    }

    private static AppendEntries FromProto(Term term, Pb.AppendEntries proto)
    {
        var count = proto.Entries.Count;
        Check.That(proto.PrevLogIndex <= ulong.MaxValue - (ulong)count, "entries run over the highest index");
        var entries = count == 0 ? [] : new Entry[count];
        var last = proto.PrevLogTerm;
        for (var i = 0; i < count; i++)
        {
            var entry = proto.Entries[i];
            Check.That(entry.Kind <= (uint)EntryKind.Configuration, "an entry is of no kind that is known here");

            // Terms never fall along a log, and none is above its leader's (Raft paper, section 5.3).
            Check.That(entry.Term >= last && entry.Term <= term.Value, "the terms of entries are out of order");
            last = entry.Term;
            entries[i] = new Entry(new LogIndex(proto.PrevLogIndex + 1 + (ulong)i), new Term(entry.Term), (EntryKind)entry.Kind, entry.Payload.Memory);
        }

        return new AppendEntries(
            term, new(proto.PrevLogIndex), new(proto.PrevLogTerm), entries, new(proto.LeaderCommit), proto.Round, new Incarnation(proto.Seat), Check.NodeOrNone(proto.Leader))
        {
            Route = RouteOf(proto),
        };
    }

    private static NodeId[] RouteOf(Pb.AppendEntries proto)
    {
        Check.That(proto.Route.Count <= Raft.Membership.Configuration.MaxMembers, "a route is longer than a shard has members");
        var route = proto.Route.Count == 0 ? [] : new NodeId[proto.Route.Count];
        for (var i = 0; i < route.Length; i++)
        {
            route[i] = Check.Node(proto.Route[i]);
        }

        return route;
    }

    private static AppendEntriesReply FromProto(Term term, Pb.AppendEntriesReply proto) =>
        new(term, proto.Success, new(proto.MatchIndex), new(proto.ConflictIndex), new(proto.ConflictTerm), new(proto.RejectedIndex), proto.Round, proto.NoRoom);

    private static Pb.InstallSnapshot ToProto(InstallSnapshot message) => new()
    {
        Index = message.Snapshot.Index.Value,
        LastTerm = message.Snapshot.Term.Value,
        Id = message.Snapshot.Id,
        TotalBytes = (ulong)message.Snapshot.Bytes,
        Offset = (ulong)message.Offset,
        Data = Check.Wrap(message.Data),
        Crc = message.Crc,
        Seat = message.Seat.Value,
    };

    private static InstallSnapshot FromProto(Term term, Pb.InstallSnapshot proto)
    {
        var bytes = Check.NonNegative(proto.TotalBytes);
        Check.That(proto.Index > 0 && proto.LastTerm > 0 && proto.LastTerm <= term.Value, "a snapshot's last entry cannot be");
        Check.That(proto.Offset <= proto.TotalBytes && (ulong)proto.Data.Length <= proto.TotalBytes - proto.Offset, "a piece of a snapshot lies behind its end");
        var snapshot = new SnapshotMeta(new(proto.Index), new(proto.LastTerm), proto.Id, bytes);
        return new InstallSnapshot(term, snapshot, (long)proto.Offset, proto.Data.Memory, proto.Crc, new Incarnation(proto.Seat));
    }

    private static Pb.RequestVoteReply ToProto(RequestVoteReply message)
    {
        var proto = new Pb.RequestVoteReply { PreVote = message.PreVote, Granted = message.Granted };
        foreach (var known in message.Known)
        {
            proto.Known.Add(new Pb.KnownPeer { Peer = known.Peer.Value, Incarnation = known.Incarnation.Value, ToldEmpty = known.ToldEmpty });
        }

        return proto;
    }

    private static RequestVoteReply FromProto(Term term, Pb.RequestVoteReply proto)
    {
        var known = proto.Known.Count == 0 ? [] : new KnownPeer[proto.Known.Count];
        for (var i = 0; i < known.Length; i++)
        {
            var peer = proto.Known[i];
            Check.That(peer.Incarnation != 0, "a known peer has no incarnation");
            known[i] = new KnownPeer(Check.Node(peer.Peer), new Incarnation(peer.Incarnation), peer.ToldEmpty);
        }

        return new RequestVoteReply(term, proto.PreVote, proto.Granted, known);
    }
}
