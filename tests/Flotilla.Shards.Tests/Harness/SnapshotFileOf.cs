using System.Buffers;
using Flotilla.Raft;
using Flotilla.Raft.Membership;
using Flotilla.Shards.Image;

namespace Flotilla.Shards.Tests.Harness;

/// <summary>A snapshot's file, as blocks in memory.</summary>
internal sealed class SnapshotFileOf
{
    private readonly List<byte[]> _blocks = [];

    public SnapshotFileOf(StateImage image, ulong id)
    {
        var writer = new ImageWriter(image);
        var buffer = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        while (writer.TryWrite(buffer))
        {
            _blocks.Add(buffer.WrittenSpan.ToArray());
            buffer.ResetWrittenCount();
        }

        Meta = new SnapshotMeta(image.LastApplied, image.LastTerm, id, _blocks.Sum(block => (long)block.Length));
    }

    public SnapshotMeta Meta { get; }

    public byte[] Piece(long offset, int maxBytes) => [.. _blocks.SelectMany(block => block).Skip((int)offset).Take(maxBytes)];

    public (StateMachine? State, Configuration? Configuration) Load()
    {
        var reader = new ImageReader();
        _blocks.ForEach(block => reader.Read(block));
        return (reader.Machine, ConfigurationCodec.Decode(reader.Configuration.Span));
    }
}
