using System.Buffers;
using Flotilla.Data;
using Flotilla.Shards.Image;

namespace Flotilla.Shards.Tests.Image;

/// <summary>Images to blocks and back.</summary>
internal static class Images
{
    public static List<byte[]> Blocks(StateImage image)
    {
        var blocks = new List<byte[]>();
        var writer = new ImageWriter(image);
        var buffer = new ArrayBufferWriter<byte>(ImageWriter.MaxBlockBytes);
        while (writer.TryWrite(buffer))
        {
            Assert.InRange(buffer.WrittenCount, 1, ImageWriter.MaxBlockBytes);
            blocks.Add(buffer.WrittenSpan.ToArray());
            buffer.ResetWrittenCount();
        }

        Assert.False(writer.TryWrite(buffer));
        Assert.Equal(0, buffer.WrittenCount);
        return blocks;
    }

    public static ImageReader Read(IEnumerable<byte[]> blocks, IRecordStore? store = null)
    {
        var reader = new ImageReader(store);
        foreach (var block in blocks)
        {
            // In a buffer that is used again: nothing may be kept of it.
            var copy = (byte[])block.Clone();
            reader.Read(copy);
            copy.AsSpan().Fill(0xAA);
        }

        return reader;
    }

    public static StateMachine Restored(StateMachine machine, IRecordStore? store = null) => Read(Blocks(machine.TakeImage(default)), store).Machine;
}
