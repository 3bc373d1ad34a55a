namespace Flotilla.Wire.Rpc;

/// <summary>How a channel behaves.</summary>
public sealed record RpcChannelOptions
{
    /// <summary>How long a connection may take to come about. Default 2 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long a connection may be silent before it is pinged; at least 1 s. Default 5 s.</summary>
    public TimeSpan PingAfter { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a ping may stay unanswered before the connection counts as dead; at least 1 s. Default 10 s.</summary>
    public TimeSpan PingTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The longest message taken as the answer of a call. Default 4 MiB.</summary>
    public int MaxMessageBytes { get; init; } = RpcFraming.DefaultMaxMessageBytes;

    /// <summary>The longest message of a duplex stream, both ways. Default 16 MiB.</summary>
    public int MaxFrameBytes { get; init; } = RpcFraming.DefaultMaxFrameBytes;
}
