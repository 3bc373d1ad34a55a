using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;

namespace Flotilla.Shards.Image;

/// <summary>
/// Everything that a state machine knows, as it was after one entry. Taken without a pause: the tree gives its root, sessions
/// one reference each, idempotency keys one for every page, and whatever changes afterwards copies itself first. Immutable; any thread may read it, handed over
/// as usual by something that publishes it. It keeps alive what it shows: let go of it when it is written.
/// </summary>
public sealed class StateImage
{
    /// <summary>The most bytes of configuration that an image takes.</summary>
    public const int MaxConfigurationBytes = 128 << 10;

    internal StateImage(LogIndex lastApplied, Term lastTerm, long logTimeMs, ReadOnlyMemory<byte> configuration, IRecordView records, SlotEpochs slots, byte[] ownership, Session[] sessions, long resultCount, KeyImage keys)
    {
        if (configuration.Length > MaxConfigurationBytes)
        {
            throw new ArgumentException($"A configuration of {configuration.Length} bytes is over the limit of {MaxConfigurationBytes}.", nameof(configuration));
        }

        LastApplied = lastApplied;
        LastTerm = lastTerm;
        LogTimeMs = logTimeMs;
        Configuration = configuration;
        Records = records;
        Slots = slots;
        Ownership = ownership;
        Sessions = sessions;
        ResultCount = resultCount;
        Keys = keys;
    }

    /// <summary>The last entry that is in it.</summary>
    public LogIndex LastApplied { get; }

    /// <summary>The term of that entry.</summary>
    public Term LastTerm { get; }

    /// <summary>The log time then, in milliseconds since the Unix epoch.</summary>
    public long LogTimeMs { get; }

    /// <summary>What the caller wanted kept with it: the group's configuration. Opaque here.</summary>
    public ReadOnlyMemory<byte> Configuration { get; }

    /// <summary>The records.</summary>
    public IRecordView Records { get; }

    /// <summary>The slots that are owned.</summary>
    internal SlotEpochs Slots { get; }

    /// <summary>The rest of what the log says of the shard itself, encoded.</summary>
    internal byte[] Ownership { get; }

    /// <summary>By key.</summary>
    internal Session[] Sessions { get; }

    /// <summary>Results of all sessions.</summary>
    internal long ResultCount { get; }

    /// <summary>Idempotency keys, as their table keeps them.</summary>
    internal KeyImage Keys { get; }
}
