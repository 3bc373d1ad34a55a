using Flotilla.Raft;
using Flotilla.Shards;
using Google.Protobuf;
using Pb = Flotilla.Wire.Protos;
using Version = Flotilla.Data.Version;

namespace Flotilla.Wire.Peers;

/// <summary>Forwarded commands, with the session or the idempotency key that they go under.</summary>
internal static class CommandProto
{
    /// <summary>Why the other side would refuse a command; null if it would not.</summary>
    public static string? FaultOf(in Command command)
    {
        var sound = command.Kind switch
        {
            CommandKind.OpenSession => command is { Key.IsEmpty: true, Once: Once.Opening },
            CommandKind.CloseSession => command is { Key.IsEmpty: true, Once: Once.Closing { Session.Index.Value: > 0 } },
            (>= CommandKind.Put and <= CommandKind.CompareAndDelete) or CommandKind.LearnKeys => !command.Key.IsEmpty && command.TtlMs >= 0 && IsSound(command.Once),
            _ => false,
        };
        return sound ? null : "carries no valid command";
    }

    public static Pb.Command Of(in Command command)
    {
        var proto = new Pb.Command
        {
            Kind = (uint)command.Kind,
            Key = Check.Wrap(command.Key),
            Value = Check.Wrap(command.Value),
            Expected = VersionProto.Of(command.Expected),
            TtlMs = (ulong)command.TtlMs,
            Delta = command.Delta,
        };
        switch (command.Once)
        {
            case Once.InSession s:
                proto.InSession = new Pb.InSession { Session = Of(s.Session), Mark = s.Mark, Ahead = s.Sequence - s.Mark, IsRetry = s.IsRetry, Origin = s.Origin.Value };
                break;
            case Once.ByKey k:
                proto.ByKey = new Pb.ByKey { Key = Check.Wrap(k.Key), LifeMs = (ulong)k.Terms.LifeMs, UntilMs = (ulong)k.UntilMs };
                break;
            case Once.Closing c:
                proto.Closing = Of(c.Session);
                break;
            default:
                // That a session is to be opened says the kind.
                break;
        }

        return proto;
    }

    public static Command Read(Pb.Command proto)
    {
        switch (proto.Kind)
        {
            case (uint)CommandKind.OpenSession:
                Check.That(IsBare(proto) && proto.OnceCase == Pb.Command.OnceOneofCase.None, "the opening of a session says more than that");
                return Command.OpenSession();
            case (uint)CommandKind.CloseSession:
                Check.That(IsBare(proto) && proto.OnceCase == Pb.Command.OnceOneofCase.Closing, "the closing of a session does not say which, or says more");
                return Command.CloseSession(Read(proto.Closing));
            default:
                Check.That(proto.Kind is (>= (uint)CommandKind.Put and <= (uint)CommandKind.CompareAndDelete) or (uint)CommandKind.LearnKeys, "a command is of no kind that is known here");
                return new Command((CommandKind)proto.Kind, Check.Key(proto.Key), proto.Value.Memory, VersionProto.Read(proto.Expected), Check.NonNegative(proto.TtlMs), proto.Delta, OnceOf(proto));
        }
    }

    private static bool IsSound(Once? once) => once switch
    {
        null => true,
        Once.InSession s => s.Session.Index.Value > 0 && s.Sequence >= s.Mark,
        Once.ByKey k => k.Key.Length is > 0 and <= Once.ByKey.MaxKeyBytes && k.Terms.LifeMs >= 0 && k.UntilMs >= 0,
        _ => false,
    };

    private static bool IsBare(Pb.Command proto) => proto is { Key.IsEmpty: true, Value.IsEmpty: true, Expected: null, TtlMs: 0, Delta: 0 };

    private static Once? OnceOf(Pb.Command proto)
    {
        switch (proto.OnceCase)
        {
            case Pb.Command.OnceOneofCase.None:
                return null;
            case Pb.Command.OnceOneofCase.InSession:
                var (mark, ahead) = (proto.InSession.Mark, proto.InSession.Ahead);
                Check.That(ahead <= ulong.MaxValue - mark, "a sequence is beyond 64 bits");
                return new Once.InSession(Read(proto.InSession.Session), mark + ahead, mark, proto.InSession.IsRetry, new GroupId(proto.InSession.Origin));
            case Pb.Command.OnceOneofCase.ByKey:
                Check.That(proto.ByKey.Key.Length is > 0 and <= Once.ByKey.MaxKeyBytes, "an idempotency key is empty or too long");
                return new Once.ByKey(proto.ByKey.Key.Memory, new KeyTerms(Check.NonNegative(proto.ByKey.LifeMs), 0), Check.NonNegative(proto.ByKey.UntilMs));
            default:
                throw new PeerFormatException("a write says that it closes a session");
        }
    }

    private static Pb.Session Of(SessionId session) => new() { Index = session.Index.Value, Place = session.Place };

    private static SessionId Read(Pb.Session? proto)
    {
        Check.That(proto is { Index: > 0 }, "a session is not named");
        return new SessionId(new LogIndex(proto.Index), proto.Place);
    }
}

/// <summary>Versions; none is left out.</summary>
internal static class VersionProto
{
    public static Pb.Version? Of(Version version) =>
        version.IsNone ? null : new Pb.Version { SlotEpoch = version.SlotEpoch, ModeEpoch = version.ModeEpoch, Counter = version.Counter, Sub = version.Sub };

    public static Version Read(Pb.Version? proto) => proto is null ? Version.None : new Version(proto.SlotEpoch, proto.ModeEpoch, proto.Counter, proto.Sub);
}
