using System.Buffers;
using Flotilla.Storage.Disk;
using Flotilla.Wire.Backups;
using Flotilla.Wire.Log;

namespace Flotilla.Cli.Backup;

/// <summary>
/// A backup while it is written, under a name beside its own that it gets once it is complete and on the disk: so under its
/// own name there is never half a file, and an older one there stays until then. Dispose it to leave nothing behind.
/// </summary>
internal sealed class BackupFile : IDisposable
{
    private readonly string _path;
    private readonly string _partial;
    private readonly FileStream _file;
    private readonly ArrayBufferWriter<byte> _buffer = new(BackupFormat.MaxContentBytes + BackupFormat.FrameOverheadBytes);
    private readonly BackupFrameWriter _frames;
    private (long Length, uint Checksum, BackupFoot Counts) _shardFrom;
    private readonly HashSet<int> _shards = [];
    private int _shard;
    private BackupFoot _counts;
    private bool _isComplete;

    private BackupFile(string path, FileStream file)
    {
        _path = path;
        _partial = file.Name;
        _file = file;
        _frames = new BackupFrameWriter(Crc32C.Compute(0, BackupFormat.Magic));
    }

    /// <summary>Bytes written.</summary>
    public long Bytes => _file.Position;

    /// <summary>How many shards there are of which something was written.</summary>
    public int Shards => _shards.Count;

    /// <summary>Begins one. Where the name is a symbolic link, the file that it leads to is written, and the link stays.</summary>
    /// <exception cref="IOException">It can't be written, would take the place of what is no file, or another backup to the same name is under way.</exception>
    public static BackupFile Create(string path, BackupHead head)
    {
        path = Destination(path);
        var backup = new BackupFile(path, OpenPartial(path + ".partial"));
        try
        {
            backup._file.SetLength(0);
            backup._file.Write(BackupFormat.Magic);
            backup.Write(BackupFrameKind.Head, head.Encode());
            return backup;
        }
        catch
        {
            backup.Dispose();
            throw;
        }
    }

    /// <summary>Begins a shard, or another image of one.</summary>
    public void Begin(BackupShard shard)
    {
        _shardFrom = (_file.Position, _frames.Checksum, _counts);
        _shard = shard.Shard;
        Write(BackupFrameKind.Shard, shard.Encode());
    }

    /// <summary>Adds a block to it.</summary>
    public void Add(ReadOnlySpan<byte> block)
    {
        Write(BackupFrameKind.Block, block);
        _counts = _counts with { Blocks = _counts.Blocks + 1 };
    }

    /// <summary>Ends it.</summary>
    public void End(BackupShardEnd end)
    {
        Write(BackupFrameKind.ShardEnd, end.Encode());
        _shards.Add(_shard);
        _counts = _counts with { Shards = _counts.Shards + 1, Records = _counts.Records + end.Records };
    }

    /// <summary>Drops the shard that was begun last.</summary>
    public void Drop()
    {
        (var length, _frames.Checksum, _counts) = _shardFrom;
        _file.SetLength(length);
        _file.Position = length;
    }

    /// <summary>Ends the file, makes it durable and gives it its name.</summary>
    public void Complete()
    {
        Write(BackupFrameKind.Foot, (_counts with { Bytes = _file.Position }).Encode());
        _file.Flush(flushToDisk: true);
        File.Move(_partial, _path, overwrite: true);
        _isComplete = true;
        new FileDisk(Path.GetDirectoryName(_path)!).SyncDirectory();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_isComplete)
        {
            // While it is still locked, so that it is not another's.
            File.Delete(_partial);
        }

        _file.Dispose();
    }

    /// <summary>The name that is replaced at the end: never that of a device or a pipe, which would be gone then.</summary>
    private static string Destination(string path)
    {
        path = Path.GetFullPath(path);
        if (Directory.Exists(path))
        {
            throw new IOException($"{path} is a directory: name the file in it");
        }

        if (SpecialFile.IsAt(path, followLinks: true))
        {
            throw new IOException($"{path} is no regular file, and a backup takes the place of what is there: name a file");
        }

        if (new FileInfo(path).LinkTarget is not null)
        {
            try
            {
                path = File.ResolveLinkTarget(path, returnFinalTarget: true)!.FullName;
            }
            catch (IOException problem)
            {
                throw new IOException($"{path} is a symbolic link that leads nowhere: name the file itself", problem);
            }
        }

        var folder = Path.GetDirectoryName(path);
        return Directory.Exists(folder) ? path : throw new IOException($"there is no folder {folder}: make it first, or name a file elsewhere");
    }

    private static FileStream OpenPartial(string partial)
    {
        const int wouldBlock = 11;
        if (SpecialFile.IsAt(partial, followLinks: false))
        {
            throw new IOException($"{partial} is in the way, where the backup is written until it is complete: remove it");
        }

        try
        {
            // Nobody else may have it open: two backups under one name would mix.
            return new FileStream(partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1 << 20);
        }
        catch (UnauthorizedAccessException problem)
        {
            throw new IOException($"{partial} can't be written, where the backup is until it is complete: the folder, or that file, is not ours to write", problem);
        }
        catch (IOException problem) when (problem.HResult == wouldBlock)
        {
            throw new IOException($"{partial} is being written by another backup: wait until that ends, or name another file", problem);
        }
    }

    private void Write(BackupFrameKind kind, ReadOnlySpan<byte> content)
    {
        _buffer.ResetWrittenCount();
        _frames.Write(_buffer, kind, content);
        _file.Write(_buffer.WrittenSpan);
    }
}
