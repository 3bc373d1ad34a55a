using System.Globalization;
using System.Security.Cryptography;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Storage.Disk;
using Flotilla.Storage.Identity;
using Flotilla.Storage.Snapshots;

namespace Flotilla.Storage;

/// <summary>What a node is told at its start, against which its data directory is checked.</summary>
public sealed record DataDirectoryOptions
{
    /// <summary>The directory; made if it is missing.</summary>
    public required string Path { get; init; }

    /// <summary>The node that wants it.</summary>
    public required NodeId Node { get; init; }

    /// <summary>
    /// The start flags. They count at the first start; later ones that differ are reported in <see cref="DataDirectory.IgnoredFlags"/>.
    /// Null for a node that joins a cluster: it learns them from that.
    /// </summary>
    public required GenesisFlags? Genesis { get; init; }

    /// <summary>The cluster id that <see cref="Genesis"/> makes: kept at the first start. 0 if it is not known yet.</summary>
    public required ulong ClusterId { get; init; }

    /// <summary>If not null, a directory of any other cluster is refused. Null (the default) takes the directory's own cluster.</summary>
    public ulong? ExpectedClusterId { get; init; }
}

/// <summary>
/// The data directory of a node, locked for this process: who the node is, and the folders of its log and its snapshots.
/// Opening it raises the boot number durably. Layout: <c>identity.json</c>, <c>topology</c>, <c>lock</c>, <c>pid</c>, <c>wal/</c>, <c>snapshots/</c>.
/// </summary>
public sealed class DataDirectory : IDisposable
{
    private const string WalFolder = "wal";
    private const string SnapshotFolder = "snapshots";
    private const string LockName = "lock";
    private const string PidName = "pid";

    // What the framework reports for a file that another process has locked: EWOULDBLOCK on Linux, and Windows' own code.
    private const int WouldBlock = 11;
    private const int SharingViolation = unchecked((int)0x80070020);

    private readonly FileStream _lock;
    private readonly IDisk _disk;

    private DataDirectory(string path, FileStream locked, IDisk disk, IDisk walDisk, IDisk snapshotDisk, NodeIdentity identity, IReadOnlyList<string> ignoredFlags)
    {
        Path = path;
        _lock = locked;
        _disk = disk;
        WalDisk = walDisk;
        SnapshotDisk = snapshotDisk;
        Identity = identity;
        IgnoredFlags = ignoredFlags;
    }

    /// <summary>The full path.</summary>
    public string Path { get; }

    /// <summary>Who the node is, as durable on disk. Its boot number is this start's.</summary>
    public NodeIdentity Identity { get; private set; }

    /// <summary>The node.</summary>
    public NodeId NodeId => Identity.Node;

    /// <summary>What tells this data directory from any other of the same node id.</summary>
    public Incarnation Incarnation => Identity.Incarnation;

    /// <summary>This start's number.</summary>
    public ulong BootNumber => Identity.BootNumber;

    /// <summary>The cluster, or 0 while it is not known.</summary>
    public ulong ClusterId => Identity.ClusterId;

    /// <summary>One sentence for each start flag that has no effect, since another value was given at the first start.</summary>
    public IReadOnlyList<string> IgnoredFlags { get; }

    /// <summary>The folder of the log.</summary>
    public IDisk WalDisk { get; }

    /// <summary>What gossip told this node last.</summary>
    public TopologyFile Topology => new(_disk);

    /// <summary>The folder of the snapshots.</summary>
    public IDisk SnapshotDisk { get; }

    /// <summary>
    /// Locks and opens a data directory, or makes it. Throws <see cref="DataDirectoryException"/> with a message for the operator:
    /// in use, of another node, of another cluster, not writable, damaged.
    /// </summary>
    public static DataDirectory Open(DataDirectoryOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var path = System.IO.Path.GetFullPath(options.Path);
        var isNew = !Directory.Exists(path);
        FileDisk disk;
        FileStream locked;
        try
        {
            disk = new FileDisk(path);
            if (isNew && System.IO.Path.GetDirectoryName(path) is { Length: > 0 } parent)
            {
                FileDisk.SyncDirectory(parent);
            }

            locked = Lock(path, options.Node);
        }
        catch (IOException e) when (e is not DataDirectoryException)
        {
            throw NotUsable(path, e);
        }

        try
        {
            var walDisk = new FileDisk(disk.PathOf(WalFolder));
            var snapshotDisk = new FileDisk(disk.PathOf(SnapshotFolder));
            disk.SyncDirectory();
            var identity = IdentityOf(disk, walDisk, snapshotDisk, path, options, out var ignoredFlags);
            return new DataDirectory(path, locked, disk, walDisk, snapshotDisk, identity, ignoredFlags);
        }
        catch (IOException e)
        {
            locked.Dispose();
            if (e is DataDirectoryException)
            {
                throw;
            }

            throw NotUsable(path, e);
        }
    }

    /// <summary>
    /// Opens the log: owned by this incarnation, and required if there ever was one, since a node that lost its log but kept
    /// its incarnation would vote twice (hazard 17).
    /// </summary>
    public Wal OpenLog(WalOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (!Identity.HasLog && SnapshotDisk.List().Count > 0)
        {
            throw new DataDirectoryException(
                $"{SnapshotDisk.PathOf("")} holds snapshots, but this node has had no log yet: they are another node's, or another directory's. Move them away.");
        }

        var wal = Wal.Open(WalDisk, options with { Owner = Incarnation.Value, MustExist = Identity.HasLog });
        try
        {
            if (!Identity.HasLog)
            {
                Change(Identity with { HasLog = true });
            }
        }
        catch (IOException)
        {
            wal.Dispose();
            throw;
        }

        return wal;
    }

    /// <summary>
    /// Opens the snapshots, and checks that they and the log fit together (<see cref="SnapshotStore.Recover"/>) for every group: a
    /// log that begins behind what any snapshot holds is refused, with what to do. Snapshots that a newer one had superseded when
    /// the node stopped are deleted: nobody asks for them any more. So is what is left of retired shards, in the log too.
    /// </summary>
    /// <exception cref="SnapshotMissingException">A snapshot is missing.</exception>
    /// <exception cref="SnapshotCorruptException">A snapshot is damaged.</exception>
    /// <exception cref="SnapshotFormatException">A snapshot is of a format version that this program does not know.</exception>
    public SnapshotStore OpenSnapshots(Wal wal)
    {
        ArgumentNullException.ThrowIfNull(wal);
        var retired = Identity.Retired.Select(static shard => shard.Group).ToHashSet();
        var snapshots = SnapshotStore.Open(SnapshotDisk, new SnapshotOptions { Retired = retired });
        foreach (var group in wal.Groups.ToArray())
        {
            if (retired.Contains(group))
            {
                wal.Forget(group); // Stopped before all of it was removed. Durable with whatever is written next.
            }
            else
            {
                _ = snapshots.Recover(group, wal.Recovered(group));
            }
        }

        foreach (var group in snapshots.Groups)
        {
            snapshots.Retire(group);
        }

        return snapshots;
    }

    /// <summary>Keeps durably that the node begins a cluster after all, though it was started to wait for one. Only possible while none is known.</summary>
    /// <param name="clusterId">The cluster, which the flags make.</param>
    /// <param name="genesis">The flags that it begins with.</param>
    public void BeginCluster(ulong clusterId, GenesisFlags genesis) => Belong(clusterId, genesis, [], hasEntered: false);

    /// <summary>Keeps durably of which cluster the node is, once one that began without any learns it. Only possible while none is known.</summary>
    /// <param name="clusterId">The cluster, which the flags make.</param>
    /// <param name="genesis">The flags that it began with.</param>
    /// <param name="known">Its nodes with their present addresses, to find them again after a restart.</param>
    public void JoinCluster(ulong clusterId, GenesisFlags genesis, IReadOnlyList<ClusterMember> known) => Belong(clusterId, genesis, known, hasEntered: true);

    private void Belong(ulong clusterId, GenesisFlags genesis, IReadOnlyList<ClusterMember> known, bool hasEntered)
    {
        ArgumentOutOfRangeException.ThrowIfZero(clusterId);
        ArgumentNullException.ThrowIfNull(genesis);
        ArgumentNullException.ThrowIfNull(known);
        if (ClusterId != 0)
        {
            throw new InvalidOperationException("The data directory belongs to a cluster already.");
        }

        Change(Identity with { ClusterId = clusterId, Genesis = genesis with { Members = [.. genesis.Members.OrderBy(static m => m.Node)] }, Known = known, HasEntered = hasEntered });
    }

    /// <summary>Keeps durably that a shard which genesis does not know is hosted here from now on. Must have returned before the replica takes part. One thread at a time.</summary>
    /// <exception cref="IOException">It is not known whether it is durable.</exception>
    public void Host(LateShard shard)
    {
        ArgumentNullException.ThrowIfNull(shard);
        Change(Identity with { LateShards = [.. Identity.LateShards, shard] });
    }

    /// <summary>
    /// Keeps durably that a shard is retired and is hosted here never again. Must have returned before anything of its data is removed,
    /// so that no start takes what is left for a shard that lives. One thread at a time, also with <see cref="Host"/>.
    /// </summary>
    /// <exception cref="IOException">It is not known whether it is durable.</exception>
    public void Retire(RetiredShard shard)
    {
        ArgumentNullException.ThrowIfNull(shard);
        Change(Identity with { Retired = [.. Identity.Retired, shard], LateShards = [.. Identity.LateShards.Where(late => late.Group != shard.Group)] });
    }

    /// <summary>Unlocks it.</summary>
    public void Dispose() => _lock.Dispose();

    /// <summary>
    /// The identity in a directory, checked, with its boot number raised durably; drawn anew in an empty one. Apart from the
    /// lock it is all that <see cref="Open"/> does, on any disk.
    /// </summary>
    internal static NodeIdentity IdentityOf(IDisk disk, IDisk walDisk, IDisk snapshotDisk, string path, DataDirectoryOptions options, out IReadOnlyList<string> ignoredFlags)
    {
        ignoredFlags = [];
        NodeIdentity identity;
        if (IdentityFile.Exists(disk))
        {
            identity = IdentityFile.Read(disk);
            Check(identity, path, options);
            ignoredFlags = options.Genesis is { } later && identity.ClusterId != 0 ? identity.Genesis.Differences(later) : [];
            identity = identity with { BootNumber = checked(identity.BootNumber + 1) };
        }
        else if (walDisk.List().Count + snapshotDisk.List().Count > 0)
        {
            throw new DataDirectoryException(
                $"{path} holds a {(walDisk.List().Count > 0 ? "log" : "snapshot")} but no {IdentityFile.Name}, so nobody can tell whose it is. Put the file back, or: " + Rebuilding.Advice);
        }
        else
        {
            var genesis = options.Genesis ?? GenesisFlags.Unknown;
            identity = new NodeIdentity(options.Node, new Incarnation(Draw()), options.ClusterId, 1, false, genesis with { Members = [.. genesis.Members.OrderBy(static m => m.Node)] });
        }

        IdentityFile.Write(disk, identity);
        return identity;
    }

    private static void Check(NodeIdentity identity, string path, DataDirectoryOptions options)
    {
        if (identity.Node != options.Node)
        {
            throw new DataDirectoryException(
                $"{path} belongs to node {identity.Node}, not to {options.Node}. Start it with that node id, or give this node another data directory.");
        }

        if (options.ExpectedClusterId is { } expected && identity.ClusterId != expected)
        {
            throw new DataDirectoryException(
                $"{path} belongs to cluster {identity.ClusterId:x}, not to {expected:x}. Start the node with the flags of its own cluster, or give it another data directory.");
        }
    }

    /// <summary>A number at random that was never drawn before, as far as 64 bits go. Never 0.</summary>
    internal static ulong Draw()
    {
        ulong value;
        do
        {
            value = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        }
        while (value == 0);

        return value;
    }

    private static FileStream Lock(string path, NodeId node)
    {
        var lockPath = System.IO.Path.Combine(path, LockName);
        var pidPath = System.IO.Path.Combine(path, PidName);
        FileStream locked;
        try
        {
            // The lock belongs to the open file, so it ends with the process however that ends.
            locked = new FileStream(lockPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
        }
        catch (IOException e) when (e.HResult is WouldBlock or SharingViolation)
        {
            throw new DataDirectoryException(
                $"{path} is in use by pid {ReadPid(pidPath)}. Stop that process, or give node {node} another data directory.", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException(e.Message, e);
        }

        try
        {
            File.WriteAllText(pidPath, Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
            return locked;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            locked.Dispose();
            throw new IOException(e.Message, e);
        }
    }

    private static string ReadPid(string pidPath)
    {
        try
        {
            return File.ReadAllText(pidPath).Trim() is { Length: > 0 } pid ? pid : "?";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "?";
        }
    }

    private static DataDirectoryException NotUsable(string path, IOException e) => new(
        $"The data directory {path} can't be used: {e.Message} Give the node a directory that it may write to, on a disk with room.", e);

    private void Change(NodeIdentity identity)
    {
        IdentityFile.Write(_disk, identity);
        Identity = identity;
    }
}
