namespace Flotilla.Storage.Snapshots;

/// <summary>A complete snapshot in the catalog of the store, under whose lock everything here changes.</summary>
internal sealed class SnapshotFile(SnapshotInfo info)
{
    public SnapshotInfo Info { get; } = info;

    /// <summary>How many are at work in the file, reading or sending it: until none is, it may not be deleted.</summary>
    public int Pins { get; set; }

    /// <summary>It is superseded and goes once nobody is at work in it. It is not offered any more.</summary>
    public bool IsRetired { get; set; }
}
