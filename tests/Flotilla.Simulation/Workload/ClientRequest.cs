using Flotilla.Linearizability;
using Flotilla.Shards;
using Version = Flotilla.Data.Version;

namespace Flotilla.Simulation.Workload;

/// <summary>One operation of one client, from its start to its outcome, over as many attempts as it takes.</summary>
public sealed record ClientRequest(int Client, OperationKind Kind, string Key, string? Value, long Delta, string? ExpectedValue, Version Expected, bool Recorded, long TtlMs, long StartUs)
{
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
}
