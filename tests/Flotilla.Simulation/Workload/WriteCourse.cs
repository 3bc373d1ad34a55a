using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Simulation.Workload;

/// <summary>An operation on its way through a gateway, over as many attempts as it takes.</summary>
internal sealed class WriteCourse(ClientRequest request, Action<CommandResult?> done)
{
    /// <summary>What the client asked for.</summary>
    public ClientRequest Request => request;

    /// <summary>The shard to ask.</summary>
    public ShardId Shard { get; set; }

    /// <summary>Takes how it ended.</summary>
    public Action<CommandResult?> Done => done;

    /// <summary>What is sent.</summary>
    public Command Command { get; set; }

    /// <summary>When it is tried no more.</summary>
    public long GiveUpAtUs { get; init; }

    /// <summary>It waits for a place in a session.</summary>
    public bool NeedsSession { get; set; }

    /// <summary>Where its session comes from.</summary>
    public GatewaySessions? Sessions { get; set; }

    /// <summary>Its session; null if it has none.</summary>
    public GatewaySession? Session { get; set; }

    /// <summary>The gateway's life in which it was named.</summary>
    public int Life { get; set; }

    /// <summary>Some attempt ended unclear: what refuses a later one says nothing about that one.</summary>
    public bool IsInDoubt { get; set; }

    /// <summary>Attempts so far.</summary>
    public int Attempts { get; set; }

    /// <summary>Its client has been told.</summary>
    public bool Ended { get; set; }

    /// <summary>Its client was told that it had no effect.</summary>
    public bool IsRefused { get; set; }

    /// <summary>It needs its session only to be closed: the shard that it went to never had its slot.</summary>
    public bool IsLeaving { get; set; }

    /// <summary>Its session is being closed.</summary>
    public bool IsClosing { get; set; }

    /// <summary>Its session is closed: no attempt under it will be executed any more.</summary>
    public bool IsClosed { get; set; }

    /// <summary>What executing it came to, as far as any attempt has told.</summary>
    public CommandResult? Result { get; set; }
}
