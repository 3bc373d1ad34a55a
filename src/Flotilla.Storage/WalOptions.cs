namespace Flotilla.Storage;

/// <summary>Sizes of the log.</summary>
public sealed record WalOptions
{
    /// <summary>The smallest segment: for tests and simulations.</summary>
    public const long MinSegmentBytes = 2 << 10;

    /// <summary>The largest segment.</summary>
    public const long MaxSegmentBytes = 1L << 30;

    /// <summary>Bytes of one segment, <see cref="MinSegmentBytes"/> to <see cref="MaxSegmentBytes"/>. Default 64 MiB. May differ from one start to the next.</summary>
    public long SegmentBytes { get; init; } = 64 << 20;

    /// <summary>The node has had a log: finding none is damage, since votes would be forgotten (hazard 17). Default false.</summary>
    public bool MustExist { get; init; }

    /// <summary>
    /// Who the log belongs to: the data directory's incarnation. A log of another owner is refused. Null (the default) takes
    /// any log, and draws an owner for a new one.
    /// </summary>
    public ulong? Owner { get; init; }

    /// <summary>
    /// Makes the generations of segments a function of this number, so that a simulation repeats itself. Null (the
    /// default) draws it at random, so that no client can guess what a batch looks like.
    /// </summary>
    public ulong? GenerationSeed { get; init; }
}

/// <summary>The log holds damage that no crash explains. The message names file and offset, and says how to rebuild the replica from its peers.</summary>
public sealed class WalCorruptException(string message) : IOException(message);

/// <summary>The log is of a format version that this program does not know. Nothing was changed.</summary>
public sealed class WalFormatException(string message) : IOException(message);
