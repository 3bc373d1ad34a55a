using Flotilla.Raft.Membership;
using Flotilla.Shards;
using Flotilla.Shards.Image;
using Flotilla.Storage.Snapshots;

namespace Flotilla.Node.Snapshots;

/// <summary>What a snapshot's file holds.</summary>
/// <param name="Info">The file.</param>
/// <param name="State">The state machine as it was; the receiver's own.</param>
/// <param name="Configuration">The group's configuration at that index.</param>
internal sealed record LoadedSnapshot(SnapshotInfo Info, StateMachine State, Configuration Configuration)
{
    /// <summary>Reads a snapshot back. Takes about a second for a million small records.</summary>
    /// <exception cref="SnapshotCorruptException">The file is damaged.</exception>
    /// <exception cref="NodeFailedException">Its blocks are sound, but are no image that this program knows.</exception>
    public static LoadedSnapshot Read(SnapshotStore store, SnapshotInfo info)
    {
        var image = new ImageReader();
        using var reader = store.OpenRead(info);
        try
        {
            var block = Array.Empty<byte>();
            while (reader.TryRead(out var bytes))
            {
                if (block.Length < bytes.Length)
                {
                    block = new byte[Math.Max(bytes.Length, ImageWriter.MaxBlockBytes)];
                }

                bytes.CopyTo(block);
                image.Read(block.AsMemory(0, bytes.Length));
            }
        }
        catch (MalformedImageException e)
        {
            throw Unreadable(info, e.Message, e);
        }

        if (!image.IsComplete || image.Machine.LastApplied != info.Index)
        {
            throw Unreadable(info, "the image in it is cut short or is of another index", null);
        }

        var configuration = ConfigurationCodec.Decode(image.Configuration.Span) ?? throw Unreadable(info, "the configuration in it can't be read", null);
        return new LoadedSnapshot(info, image.Machine, configuration);
    }

    private static NodeFailedException Unreadable(SnapshotInfo info, string what, Exception? cause) =>
        new($"The snapshot {info.FileName} can't be used: {what}. It was written by a newer or a broken program. Run the release that wrote it, or rebuild this node from its peers: keep its data directory aside, run 'flotilla remove-node ID' against one of them, then start it with an empty directory and '--join HOST:RPC'.", cause);
}
