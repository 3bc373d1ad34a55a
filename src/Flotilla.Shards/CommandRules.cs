using Flotilla.Shards.ExactlyOnce;

namespace Flotilla.Shards;

/// <summary>Which commands make sense at all, whatever the state; what breaks these rules is never put into a log.</summary>
internal static class CommandRules
{
    /// <summary>What is wrong with a command; null if nothing is.</summary>
    public static string? Fault(in Command command) => command.Kind switch
    {
        CommandKind.OpenSession => command.Once is Once.Opening { Terms.IsValid: true } ? null : "A session must be opened under valid terms.",
        CommandKind.CloseSession => command.Once is Once.Closing ? null : "The session to close must be named.",
        (>= CommandKind.Put and <= CommandKind.CompareAndDelete) or CommandKind.LearnKeys => command.Key.IsEmpty ? "A key must not be empty."
            : command.TtlMs < 0 ? "A time to live must not be negative."
            : command.Kind == CommandKind.LearnKeys && RestoredKeys.Fault(in command) is { } fault ? fault
            : command.Once is null ? null : Fault(command.Once),
        _ => $"There is no command kind {(byte)command.Kind}.",
    };

    /// <summary>The command under the terms of the replica that proposes it. A client's word counts only where it asks for a key to be kept for less time.</summary>
    public static Command UnderTerms(in Command command, ReplicaOptions options) => command.Once switch
    {
        Once.Opening => command with { Once = new Once.Opening(options.Sessions) },
        Once.ByKey { Terms.LifeMs: > 0 } byKey when byKey.Terms.LifeMs < options.IdempotencyKeys.LifeMs => command with { Once = byKey with { Terms = options.IdempotencyKeys with { LifeMs = byKey.Terms.LifeMs } } },
        Once.ByKey byKey => command with { Once = byKey with { Terms = options.IdempotencyKeys } },
        _ => command,
    };

    private static string? Fault(Once once) => once switch
    {
        Once.InSession { } s when s.Sequence >= s.Mark => null,
        Once.InSession => "A sequence must not be below the mark that comes with it.",
        Once.ByKey { Key.Length: > 0 and <= Once.ByKey.MaxKeyBytes, UntilMs: >= 0 } k when k.Terms.IsValid => null,
        Once.ByKey => $"An idempotency key has 1 to {Once.ByKey.MaxKeyBytes} bytes, valid terms, and no end before the Unix epoch.",
        _ => "Only the commands that open and close sessions go with an opening or a closing.",
    };
}
