namespace Flotilla.Shards.Image;

/// <summary>What an image is made of (docs/image.md). Explicit and append-only: images are on disk and on the wire.</summary>
internal static class ImageFormat
{
    /// <summary>The format that is written; all from 1 on are read. Format 1 kept idempotency keys as they are, format 2 nothing of moves, format 3 nothing of modes.</summary>
    public const byte Version = 4;

    /// <summary>What every image begins with, behind the number and kind of its first block.</summary>
    public static ReadOnlySpan<byte> Magic => "FLSI"u8;
}

/// <summary>What a block holds.</summary>
internal enum BlockKind : byte
{
    /// <summary>Magic, format, where in the log the image was taken, how much follows, configuration. The first block.</summary>
    Header = 1,

    /// <summary>The slot epochs as runs. The second block.</summary>
    Slots = 2,

    /// <summary>Sessions and their results; a session may go on in the next block.</summary>
    Sessions = 3,

    /// <summary>Idempotency keys.</summary>
    Keys = 4,

    /// <summary>Records.</summary>
    Records = 5,

    /// <summary>A record that does not fit into one block: all but the end of its value.</summary>
    LargeRecord = 6,

    /// <summary>More of the value of a large record.</summary>
    Piece = 7,

    /// <summary>Nothing: the image is complete.</summary>
    End = 8,

    /// <summary>State, weight, moves and what they left behind, in one or more pieces; behind the slots. Since format 3.</summary>
    Ownership = 9,
}

/// <summary>
/// A block is none of an image, or not the next one of this image. Nothing that came of the image may be used. Its bytes
/// were written by a newer or a broken program, or were damaged behind the back of whoever checks them.
/// </summary>
public sealed class MalformedImageException : Exception, IMalformed
{
    /// <summary>For the block with this number, from 0.</summary>
    public MalformedImageException(string what, long block, int offset)
        : base($"Block {block} of a state image is malformed at byte {offset}: {what}. The image cannot be used; rebuild the replica from its peers.")
    {
        What = what;
        Block = block;
        Offset = offset;
    }

    /// <summary>What is wrong.</summary>
    public string What { get; }

    /// <summary>The number of the block, from 0; below 0 if it is not known.</summary>
    public long Block { get; }

    /// <summary>Where in the block.</summary>
    public int Offset { get; }

    static Exception IMalformed.At(string what, int offset) => new MalformedImageException(what, -1, offset);
}
