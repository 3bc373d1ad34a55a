using Flotilla.Linearizability;
using Flotilla.Shards;
using Version = Flotilla.Data.Version;

namespace Flotilla.Simulation.Workload;

/// <summary>What makes a write take effect once, if anything does (docs/sessions.md).</summary>
public enum Naming
{
    /// <summary>Nothing: it is tried again only while it was certainly not proposed.</summary>
    Plain,

    /// <summary>A sequence in a session of the gateway.</summary>
    Session,

    /// <summary>An idempotency key of the client.</summary>
    Key,
}

/// <summary>One operation of one client, from its start to its outcome, over as many attempts as it takes.</summary>
public sealed record ClientRequest(int Client, OperationKind Kind, string Key, string? Value, long Delta, string? ExpectedValue, Version Expected, bool Recorded, long TtlMs, long StartUs)
{
    /// <summary>What makes it take effect once.</summary>
    public Naming Naming { get; init; }

    /// <summary>Names it among those of its client.</summary>
    public int Number { get; init; }

    /// <summary>The command for a replica; a get has none.</summary>
    public Command ToCommand()
    {
        var key = Keys.Bytes(Key);
        return Kind switch
        {
            OperationKind.Put => Command.Put(key, Keys.Bytes(Value!), TtlMs),
            OperationKind.Delete => Command.Delete(key),
            OperationKind.CompareAndSwap when Expected.IsNone => Command.PutIfAbsent(key, Keys.Bytes(Value!)),
            OperationKind.CompareAndSwap => Command.CompareAndSwap(key, Expected, Keys.Bytes(Value!)),
            _ => Command.Increment(key, Delta),
        };
    }

    /// <summary>Its idempotency key. That of a write which nobody checks is kept no longer than its record.</summary>
    public Once.ByKey ToKey() => new(Keys.Bytes($"c{Client}-{Number}"), new KeyTerms(Recorded ? 0 : TtlMs, 0));
}
