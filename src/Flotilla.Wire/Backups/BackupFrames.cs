using System.Buffers;
using System.Buffers.Binary;
using Flotilla.Wire.Log;

namespace Flotilla.Wire.Backups;

/// <summary>A backup is not what was written: damaged, cut, or something else. Nothing of it may be used.</summary>
public sealed class BackupDamagedException(string what, long offset) : Exception($"{what} (byte {offset})")
{
    /// <summary>What is wrong.</summary>
    public string What { get; } = what;

    /// <summary>Where in the file or stream the frame begins that is wrong.</summary>
    public long Offset { get; } = offset;
}

/// <summary>One frame whose checksum was right.</summary>
/// <param name="Kind">What it holds.</param>
/// <param name="Offset">Where it begins.</param>
/// <param name="Content">Valid until the next frame is read.</param>
public readonly record struct BackupFrame(BackupFrameKind Kind, long Offset, ReadOnlyMemory<byte> Content)
{
    /// <summary>Throws <see cref="BackupDamagedException"/> at this frame unless a condition holds.</summary>
    public void Require(bool condition, string what)
    {
        if (!condition)
        {
            throw new BackupDamagedException(what, Offset);
        }
    }
}

/// <summary>
/// Writes frames: <c>kind:u8 length:u32 content checksum:u32</c>, little-endian. The checksum is the CRC32C of all that was
/// written up to it, from the beginning, other checksums left out: so a frame that is missing, doubled or in another place is
/// as wrong as one with another content. Not thread-safe.
/// </summary>
/// <param name="checksum">Of what comes before: 0, or that of the magic.</param>
public sealed class BackupFrameWriter(uint checksum = 0)
{
    /// <summary>The checksum so far. Set it back together with the place in the file to write anew from an earlier frame on.</summary>
    public uint Checksum { get; set; } = checksum;

    /// <summary>Writes a frame.</summary>
    public void Write(IBufferWriter<byte> to, BackupFrameKind kind, ReadOnlySpan<byte> content)
    {
        ArgumentNullException.ThrowIfNull(to);
        if (content.Length > BackupFormat.MaxContentBytes)
        {
            throw new ArgumentException($"A content of {content.Length} bytes is over the limit of {BackupFormat.MaxContentBytes}.", nameof(content));
        }

        var span = to.GetSpan(content.Length + BackupFormat.FrameOverheadBytes);
        span[0] = (byte)kind;
        BinaryPrimitives.WriteUInt32LittleEndian(span[1..], (uint)content.Length);
        content.CopyTo(span[5..]);
        var end = 5 + content.Length;
        Checksum = Crc32C.Compute(Checksum, span[..end]);
        BinaryPrimitives.WriteUInt32LittleEndian(span[end..], Checksum);
        to.Advance(end + sizeof(uint));
    }
}

/// <summary>Reads what <see cref="BackupFrameWriter"/> wrote. Sets no memory aside for a length that is claimed beyond what a frame may have. Not thread-safe.</summary>
/// <param name="from">At a frame's beginning.</param>
/// <param name="checksum">Of what comes before.</param>
/// <param name="offset">Where in the file <paramref name="from"/> stands.</param>
public sealed class BackupFrameReader(Stream from, uint checksum = 0, long offset = 0)
{
    private const int HeadBytes = 1 + sizeof(uint);
    private readonly byte[] _buffer = new byte[BackupFormat.MaxContentBytes + BackupFormat.FrameOverheadBytes];
    private uint _checksum = checksum;

    /// <summary>Where the next frame begins.</summary>
    public long Offset { get; private set; } = offset;

    /// <summary>The next frame, or null at the end of the stream.</summary>
    /// <exception cref="BackupDamagedException">What comes is no frame, not the next one, or cut.</exception>
    public async ValueTask<BackupFrame?> ReadAsync(CancellationToken cancel)
    {
        var head = await from.ReadAtLeastAsync(_buffer.AsMemory(0, HeadBytes), HeadBytes, throwOnEndOfStream: false, cancel);
        if (head == 0)
        {
            return null;
        }

        Require(head == HeadBytes, "it is cut here");
        var length = BinaryPrimitives.ReadUInt32LittleEndian(_buffer.AsSpan(1));
        Require(length <= BackupFormat.MaxContentBytes, "it is damaged here: there is no frame of such a length");
        var rest = (int)length + sizeof(uint);
        Require(await from.ReadAtLeastAsync(_buffer.AsMemory(HeadBytes, rest), rest, throwOnEndOfStream: false, cancel) == rest, "it is cut here");
        var end = HeadBytes + (int)length;
        _checksum = Crc32C.Compute(_checksum, _buffer.AsSpan(0, end));
        Require(BinaryPrimitives.ReadUInt32LittleEndian(_buffer.AsSpan(end)) == _checksum, "it is damaged here: the checksum is wrong");
        var frame = new BackupFrame((BackupFrameKind)_buffer[0], Offset, _buffer.AsMemory(HeadBytes, (int)length));
        Offset += end + sizeof(uint);
        return frame;
    }

    private void Require(bool condition, string what)
    {
        if (!condition)
        {
            throw new BackupDamagedException(what, Offset);
        }
    }
}
