namespace Flotilla.Storage.Snapshots;

/// <summary>A complete snapshot in the catalog of the store, under whose lock everything here changes.</summary>
internal sealed class SnapshotFile(SnapshotInfo info)
{
    public SnapshotInfo Info { get; } = info;

    /// <summary>How many are at work in the file to read it back.</summary>
    public int Readers { get; set; }

    /// <summary>How many are at work in the file to send it.</summary>
    public int Senders { get; set; }

    /// <summary>It is superseded and goes once nobody is at work in it. It is not offered any more.</summary>
    public bool IsRetired { get; set; }

    /// <summary>Somebody is at work in it: it may not be deleted.</summary>
    public bool IsPinned => Readers + Senders > 0;
}
