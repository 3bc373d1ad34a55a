namespace Flotilla.Server.Grpc;

/// <summary>What the gRPC door is told at its start. Immutable.</summary>
public sealed record KvServiceOptions
{
    /// <summary>What a call that says nothing of <c>forward</c> gets: false answers <c>not_leader</c> where this node does not lead. Default true.</summary>
    public bool ForwardDefault { get; init; } = true;

    /// <summary>Longest key in bytes, as the replicas enforce it. Default 4 KiB.</summary>
    public int MaxKeyBytes { get; init; } = 4 << 10;

    /// <summary>Longest value in bytes, as the replicas enforce it. Default 1 MiB.</summary>
    public int MaxValueBytes { get; init; } = 1 << 20;

    /// <summary>Calls under way before new ones are answered <c>overloaded</c> (Monitor excepted). Default 10,000.</summary>
    public int MaxInFlight { get; init; } = 10_000;

    /// <summary>Monitor streams at once before new ones are answered <c>overloaded</c>. Default 256.</summary>
    public int MaxMonitors { get; init; } = 256;

    /// <summary>Bytes of keys and values on one page of a scan (at least one record comes). Default 1 MiB.</summary>
    public int MaxPageBytes { get; init; } = 1 << 20;
}
