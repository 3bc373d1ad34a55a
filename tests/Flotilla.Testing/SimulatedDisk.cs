using Flotilla.Raft;
using Flotilla.Storage.Disk;

namespace Flotilla.Testing;

/// <summary>What an operation on a <see cref="SimulatedDisk"/> does.</summary>
public enum DiskOperation
{
    /// <summary>A file comes into being.</summary>
    Create,

    /// <summary>Bytes are written.</summary>
    Write,

    /// <summary>A file is synced.</summary>
    Sync,

    /// <summary>A file is renamed.</summary>
    Rename,

    /// <summary>A file is deleted.</summary>
    Delete,

    /// <summary>The directory is synced.</summary>
    SyncDirectory,
}

/// <summary>The power is off: whatever the disk is asked to do fails until <see cref="SimulatedDisk.Crash"/>.</summary>
public sealed class PowerOffException() : IOException("The simulated power is off.");

/// <summary>
/// A directory in memory that forgets what a real one may forget: unsynced writes, sector by sector, and names whose
/// directory was not synced. It fails, fills up and loses power on demand. Deterministic: chance comes from the seed of
/// <see cref="Crash"/> alone. Thread-safe. It may have folders (<see cref="Folder"/>), which share its room and its power; a
/// file in one is called <c>folder/name</c> here.
/// </summary>
public sealed class SimulatedDisk : IDisk
{
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, SimulatedFile> _names = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, SimulatedFile> _durableNames = new(StringComparer.Ordinal);
    private readonly List<(string Folder, Action<SortedDictionary<string, SimulatedFile>> Change)> _unsyncedNames = [];
    private readonly Dictionary<DiskOperation, int> _failures = [];
    private long _operationsLeft = long.MaxValue;
    private bool _powerOff;
    private int _boots;

    /// <summary>Bytes that the disk can hold; writes beyond fail as on a full disk, after as much as fits. Default unlimited.</summary>
    public long CapacityBytes { get; set; } = long.MaxValue;

    /// <summary>Changes made so far: writes, syncs, and operations on names.</summary>
    public long Operations { get; private set; }

    /// <summary>Called before each change with what it is and the file's name: may throw, and record.</summary>
    public Action<DiskOperation, string>? Observer { get; set; }

    /// <inheritdoc/>
    public long FreeBytes
    {
        get
        {
            lock (_lock)
            {
                return CapacityBytes - UsedBytes;
            }
        }
    }

    private long UsedBytes => _names.Values.Sum(static f => (long)f.Length);

    /// <summary>Makes the next <paramref name="times"/> operations of a kind fail with an <see cref="IOException"/>. A failed sync loses the bytes, too.</summary>
    public void Fail(DiskOperation operation, int times = 1)
    {
        lock (_lock)
        {
            _failures[operation] = times;
        }
    }

    /// <summary>Switches the power off in the middle of the operation after <paramref name="operations"/> more: it may have happened or not.</summary>
    public void PowerOffAfter(long operations)
    {
        lock (_lock)
        {
            _operationsLeft = operations;
        }
    }

    /// <summary>Loses power (if it is still on), and what may be lost with it, as <paramref name="seed"/> has it; then power is back. Open files are dead.</summary>
    public void Crash(ulong seed)
    {
        lock (_lock)
        {
            var random = new SplitMix64(seed);

            // A journal keeps the order of directory operations: a crash keeps some first part of them.
            var kept = random.Below(3) switch
            {
                0 => 0,
                1 => _unsyncedNames.Count,
                _ => (int)random.Below(_unsyncedNames.Count + 1),
            };
            foreach (var (_, change) in _unsyncedNames.Take(kept))
            {
                change(_durableNames);
            }

            _unsyncedNames.Clear();
            _names.Clear();
            foreach (var (name, file) in _durableNames)
            {
                _names.Add(name, file);
            }

            foreach (var file in _names.Values.Distinct())
            {
                file.Crash(ref random);
            }

            Restart();
        }
    }

    /// <summary>The process dies and the machine does not: nothing is lost, and open files are dead.</summary>
    public void Kill()
    {
        lock (_lock)
        {
            Restart();
        }
    }

    /// <summary>What a reader sees of a file.</summary>
    public byte[] Content(string name)
    {
        lock (_lock)
        {
            return _names[name].Content.ToArray();
        }
    }

    /// <summary>Sets a file's content, durably: to damage it, or to put a file there.</summary>
    public void SetContent(string name, ReadOnlySpan<byte> content)
    {
        lock (_lock)
        {
            if (_names.TryGetValue(name, out var file))
            {
                file.Replace(content);
            }
            else
            {
                _names[name] = file = new SimulatedFile(content);
            }

            _durableNames[name] = file;
        }
    }

    /// <summary>Takes a file away, durably.</summary>
    public void Remove(string name)
    {
        lock (_lock)
        {
            _ = _names.Remove(name);
            _ = _durableNames.Remove(name);
        }
    }

    /// <summary>A disk that holds what a reader of this one sees, all of it durable.</summary>
    public SimulatedDisk Copy()
    {
        lock (_lock)
        {
            var copy = new SimulatedDisk();
            foreach (var (name, file) in _names)
            {
                copy.SetContent(name, file.Content);
            }

            return copy;
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> List() => ListIn("");

    /// <inheritdoc/>
    public IDiskFile Open(string name)
    {
        lock (_lock)
        {
            ThrowIfOff();
            if (!_names.TryGetValue(name, out var file))
            {
                file = new SimulatedFile();
                Change(DiskOperation.Create, name, names => names[name] = file);
            }

            return new Handle(this, name, file, _boots);
        }
    }

    /// <inheritdoc/>
    public void Rename(string from, string to)
    {
        lock (_lock)
        {
            ThrowIfOff();
            var file = _names.TryGetValue(from, out var found) ? found : throw new IOException($"Could not find file '{from}'.");
            Change(DiskOperation.Rename, from, names =>
            {
                _ = names.Remove(from);
                names[to] = file;
            });
        }
    }

    /// <inheritdoc/>
    public void Delete(string name)
    {
        lock (_lock)
        {
            ThrowIfOff();
            Change(DiskOperation.Delete, name, names => names.Remove(name));
        }
    }

    /// <inheritdoc/>
    public void SyncDirectory() => SyncDirectory("");

    /// <summary>A folder of this disk, as a disk of its own. Folders themselves are there for ever.</summary>
    public IDisk Folder(string name) => new SimulatedFolder(this, name);

    /// <summary>Names of the files in a folder; "" is the root.</summary>
    internal IReadOnlyList<string> ListIn(string folder)
    {
        lock (_lock)
        {
            ThrowIfOff();
            var prefix = folder.Length == 0 ? 0 : folder.Length + 1;
            return [.. _names.Keys.Where(n => FolderOf(n) == folder).Select(n => n[prefix..])];
        }
    }

    /// <summary>Makes the names in a folder durable, and in no other.</summary>
    internal void SyncDirectory(string folder)
    {
        lock (_lock)
        {
            ThrowIfOff();
            Operate(DiskOperation.SyncDirectory, folder, () =>
            {
                foreach (var (_, change) in _unsyncedNames.Where(n => n.Folder == folder))
                {
                    change(_durableNames);
                }

                _ = _unsyncedNames.RemoveAll(n => n.Folder == folder);
            });
        }
    }

    private static string FolderOf(string name) => name.LastIndexOf('/') is > 0 and var slash ? name[..slash] : "";

    private void Restart()
    {
        _powerOff = false;
        _operationsLeft = long.MaxValue;
        _failures.Clear();
        _boots++;
    }

    private void Change(DiskOperation operation, string name, Action<SortedDictionary<string, SimulatedFile>> change) => Operate(operation, name, () =>
    {
        change(_names);
        _unsyncedNames.Add((FolderOf(name), change));
    });

    // The operation in which the power fails has happened, without being known to have: what comes of it the crash decides.
    private void Operate(DiskOperation operation, string name, Action action)
    {
        Observer?.Invoke(operation, name);
        Operations++;
        if (_failures.TryGetValue(operation, out var left) && left > 0)
        {
            _failures[operation] = left - 1;
            throw new IOException($"Simulated failure of {operation} '{name}': Input/output error.");
        }

        if (_operationsLeft-- > 0)
        {
            action();
            return;
        }

        _powerOff = true;
        if (operation is not (DiskOperation.Sync or DiskOperation.SyncDirectory))
        {
            action();
        }

        throw new PowerOffException();
    }

    private void ThrowIfOff()
    {
        if (_powerOff)
        {
            throw new PowerOffException();
        }
    }

    private sealed class Handle(SimulatedDisk disk, string name, SimulatedFile file, int boot) : IDiskFile
    {
        private bool _disposed;

        public long Length
        {
            get
            {
                lock (disk._lock)
                {
                    return file.Length;
                }
            }
        }

        public int Read(long offset, Span<byte> into)
        {
            lock (disk._lock)
            {
                ThrowIfDead();
                return file.Read(offset, into);
            }
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            lock (disk._lock)
            {
                ThrowIfDead();
                var grows = Math.Max(0, offset + bytes.Length - file.Length);
                var room = disk.CapacityBytes - disk.UsedBytes;
                if (grows > room)
                {
                    // A full disk takes what fits: the write is torn, not refused.
                    var fits = (int)Math.Max(0, bytes.Length - (grows - Math.Max(0, room)));
                    file.Write(offset, bytes[..fits]);
                    throw new IOException($"No space left on device : '{name}'");
                }

                var copy = bytes.ToArray();
                disk.Operate(DiskOperation.Write, name, () => file.Write(offset, copy));
            }
        }

        public void Sync()
        {
            lock (disk._lock)
            {
                ThrowIfDead();
                try
                {
                    disk.Operate(DiskOperation.Sync, name, file.Sync);
                }
                catch (IOException e) when (e is not PowerOffException)
                {
                    file.FailSync();
                    throw;
                }
            }
        }

        public void Dispose() => _disposed = true;

        private void ThrowIfDead()
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            disk.ThrowIfOff();
            if (boot != disk._boots)
            {
                throw new IOException($"'{name}' was opened before the crash.");
            }
        }
    }
}
