using System.Globalization;
using System.Text;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Storage.Identity;
using Flotilla.Testing;
using Flotilla.Wire.Log;

namespace Flotilla.Storage.Tests;

public sealed class DataDirectoryTests : IDisposable
{
    private static readonly GenesisFlags Flags = new([new ClusterMember(new NodeId("b"), "h:2"), new ClusterMember(new NodeId("a"), "h:1")], 3, 2);

    private readonly string _root = Directory.CreateTempSubdirectory("flotilla-data-").FullName;

    private string DataPath => Path.Combine(_root, "deep", "data");

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public void Each_start_raises_the_boot_number_and_keeps_the_incarnation()
    {
        var incarnations = new HashSet<Incarnation>();
        for (ulong boot = 1; boot <= 4; boot++)
        {
            using var directory = DataDirectory.Open(Options());
            Assert.Equal(boot, directory.BootNumber);
            Assert.Equal(new NodeId("a"), directory.NodeId);
            Assert.Equal(77UL, directory.ClusterId);
            Assert.Equal([new NodeId("a"), new NodeId("b")], directory.Identity.Genesis.Members.Select(static m => m.Node));
            Assert.Empty(directory.IgnoredFlags);
            _ = incarnations.Add(directory.Incarnation);
        }

        Assert.False(Assert.Single(incarnations).IsNone);
    }

    [Fact]
    [Trait("Hazard", "17")]
    public void A_wiped_directory_draws_another_incarnation()
    {
        var incarnations = new HashSet<Incarnation>();
        for (var i = 0; i < 3; i++)
        {
            using (var directory = DataDirectory.Open(Options()))
            {
                _ = incarnations.Add(directory.Incarnation);
            }

            Directory.Delete(DataPath, recursive: true);
        }

        Assert.Equal(3, incarnations.Count);
    }

    [Fact]
    [Trait("Hazard", "17")]
    public void A_node_that_begins_by_itself_keeps_its_nonce_and_draws_another_one_when_it_is_wiped()
    {
        var alone = new GenesisFlags([new ClusterMember(new NodeId("a"), "h:1")], 3, 2);
        Assert.Equal(0UL, Flags.Begin().Nonce);
        var nonces = new HashSet<ulong>();
        for (var i = 0; i < 3; i++)
        {
            var drawn = alone.Begin();
            using (var directory = DataDirectory.Open(Options() with { Genesis = drawn }))
            {
                Assert.Equal((drawn.Nonce, false), (directory.Identity.Genesis.Nonce, directory.Identity.HasEntered));
            }

            using (var again = DataDirectory.Open(Options() with { Genesis = alone.Begin() }))
            {
                Assert.Equal(drawn.Nonce, again.Identity.Genesis.Nonce);
                Assert.Empty(again.IgnoredFlags);
            }

            _ = nonces.Add(drawn.Nonce);
            Directory.Delete(DataPath, recursive: true);
        }

        Assert.Equal(3, nonces.Count);
        Assert.DoesNotContain(0UL, nonces);
    }

    [Theory]
    [InlineData("", false)]
    [InlineData(",\"knownNodes\":[{\"node\":\"b\",\"rpc\":\"h:2\"}]", true)]
    public void An_identity_of_the_first_format_has_no_nonce(string known, bool hasEntered)
    {
        var body = "{\"format\":1,\"node\":\"a\",\"incarnation\":\"0000000000000005\",\"clusterId\":\"0000000000000007\",\"bootNumber\":3,\"hasLog\":true,"
            + "\"genesis\":{\"initialCluster\":[{\"node\":\"a\",\"rpc\":\"h:1\"}],\"shards\":1,\"replicas\":3}" + known;
        var checksum = Crc32C.Compute(0, Encoding.ASCII.GetBytes(body));
        var disk = new SimulatedDisk();
        disk.SetContent(IdentityFile.Name, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{body},\"crc32c\":\"{checksum:x8}\"}}\n")));
        var identity = IdentityFile.Read(disk);
        Assert.Equal((0UL, hasEntered, 7UL, 3UL), (identity.Genesis.Nonce, identity.HasEntered, identity.ClusterId, identity.BootNumber));
        IdentityFile.Write(disk, identity);
        Assert.Equal((0UL, hasEntered), (IdentityFile.Read(disk).Genesis.Nonce, IdentityFile.Read(disk).HasEntered));
    }

    [Fact]
    public void Later_flags_that_differ_are_reported_and_have_no_effect()
    {
        DataDirectory.Open(Options()).Dispose();
        using var directory = DataDirectory.Open(Options() with { ClusterId = 5, Genesis = new GenesisFlags([new ClusterMember(new NodeId("a"), "h:1")], 9, 2) });
        Assert.Equal(
            ["--initial-cluster was \"a=h:1,b=h:2\" at the first start and counts; \"a=h:1\" has no effect.", "--shards was 3 at the first start and counts; 9 has no effect."],
            directory.IgnoredFlags);
        Assert.Equal((3, 77UL), (directory.Identity.Genesis.Shards, directory.ClusterId));
    }

    [Fact]
    public void A_second_process_is_told_who_holds_the_directory()
    {
        using var held = DataDirectory.Open(Options());
        var e = Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(Options()));
        Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"{DataPath} is in use by pid {Environment.ProcessId}."), e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_refused_start_leaves_the_directory_unlocked_and_unchanged()
    {
        DataDirectory.Open(Options()).Dispose();
        var e = Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(Options() with { Node = new NodeId("b") }));
        Assert.Contains("belongs to node a, not to b", e.Message, StringComparison.Ordinal);
        e = Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(Options() with { ExpectedClusterId = 78 }));
        Assert.Contains("belongs to cluster 4d, not to 4e", e.Message, StringComparison.Ordinal);
        using var directory = DataDirectory.Open(Options() with { ExpectedClusterId = 77 });
        Assert.Equal(2UL, directory.BootNumber);
    }

    [Fact]
    public void A_path_that_can_hold_no_directory_is_refused_with_what_to_do()
    {
        var file = Path.Combine(_root, "file");
        File.WriteAllText(file, "");
        var e = Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(Options() with { Path = Path.Combine(file, "data") }));
        Assert.Contains("can't be used", e.Message, StringComparison.Ordinal);
        Assert.Contains("Give the node a directory that it may write to", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Hazard", "17")]
    public void A_log_that_went_missing_or_was_swapped_is_refused()
    {
        using (var directory = DataDirectory.Open(Options()))
        {
            Assert.False(directory.Identity.HasLog);
            using var log = directory.OpenLog(new WalOptions { SegmentBytes = 4 << 10 });
            Assert.True(directory.Identity.HasLog);
        }

        var wal = Path.Combine(DataPath, "wal");
        using (var directory = DataDirectory.Open(Options()))
        {
            directory.OpenLog(new WalOptions { SegmentBytes = 4 << 10 }).Dispose();
            Directory.Move(wal, wal + "-moved");
            _ = Directory.CreateDirectory(wal);
            _ = Assert.Throws<WalCorruptException>(() => directory.OpenLog(new WalOptions { SegmentBytes = 4 << 10 }));
        }

        using (var other = DataDirectory.Open(Options() with { Path = Path.Combine(_root, "other") }))
        {
            other.OpenLog(new WalOptions { SegmentBytes = 4 << 10 }).Dispose();
        }

        Directory.Delete(wal);
        Directory.Move(Path.Combine(_root, "other", "wal"), wal);
        using (var directory = DataDirectory.Open(Options()))
        {
            Assert.Contains("another data directory", Assert.Throws<WalCorruptException>(() => directory.OpenLog(new WalOptions())).Message, StringComparison.Ordinal);
        }

        File.Delete(Path.Combine(DataPath, "identity.json"));
        Assert.Contains("holds a log but no identity.json", Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(Options())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_node_that_waited_keeps_the_cluster_that_adopts_it()
    {
        using (var directory = DataDirectory.Open(Options() with { ClusterId = 0 }))
        {
            directory.JoinCluster(123, Flags, [new ClusterMember(new NodeId("c"), "h:3")]);
            _ = Assert.Throws<InvalidOperationException>(() => directory.JoinCluster(124, Flags, []));
        }

        using var again = DataDirectory.Open(Options() with { ClusterId = 0 });
        Assert.Equal((123UL, true), (again.ClusterId, again.Identity.HasEntered));
    }

    [Fact]
    public void A_node_that_waited_may_begin_a_cluster_after_all()
    {
        using (var directory = DataDirectory.Open(Options() with { ClusterId = 0 }))
        {
            directory.BeginCluster(123, Flags with { Nonce = 9 });
        }

        using var again = DataDirectory.Open(Options() with { ClusterId = 0 });
        Assert.Equal((123UL, 9UL, false), (again.ClusterId, again.Identity.Genesis.Nonce, again.Identity.HasEntered));
    }

    [Fact]
    public void A_damaged_identity_file_is_refused_at_every_bit_and_every_length()
    {
        var disk = new SimulatedDisk();
        IdentityFile.Write(disk, new NodeIdentity(new NodeId("a\"ö"), new Incarnation(5), 7, 1, true, Flags));
        Assert.Equal(new NodeId("a\"ö"), IdentityFile.Read(disk).Node);
        var content = disk.Content(IdentityFile.Name);
        for (var bit = 0; bit < content.Length * 8; bit++)
        {
            content[bit / 8] ^= (byte)(1 << (bit % 8));
            AssertDamaged(disk, content);
            content[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        for (var length = 0; length < content.Length; length++)
        {
            AssertDamaged(disk, content.AsSpan(0, length));
        }
    }

    [Fact]
    [Trait("Hazard", "15")]
    [Trait("Hazard", "17")]
    public void Incarnation_and_boot_number_never_go_back_whenever_the_power_fails()
    {
        for (ulong seed = 1; seed <= 300; seed++)
        {
            var random = new SplitMix64(seed);
            var disk = new SimulatedDisk();
            NodeIdentity? last = null;
            for (var start = 0; start < 6; start++)
            {
                disk.PowerOffAfter(random.Below(12));
                NodeIdentity? identity = null;
                try
                {
                    identity = DataDirectory.IdentityOf(disk, new SimulatedDisk(), new SimulatedDisk(), "data", Options(), out _);
                    disk.PowerOffAfter(long.MaxValue);
                }
                catch (PowerOffException)
                {
                    // The start failed: nobody has seen its numbers.
                }

                if (identity is not null)
                {
                    Assert.True(last is null || (identity.Incarnation == last.Incarnation && identity.BootNumber > last.BootNumber), $"seed {seed}");
                    last = identity;
                }

                disk.Crash(random.Next());
            }
        }
    }

    private static void AssertDamaged(SimulatedDisk disk, ReadOnlySpan<byte> content)
    {
        disk.SetContent(IdentityFile.Name, content);
        Assert.Contains("is damaged", Assert.Throws<DataDirectoryException>(() => IdentityFile.Read(disk)).Message, StringComparison.Ordinal);
    }

    private DataDirectoryOptions Options() => new() { Path = DataPath, Node = new NodeId("a"), Genesis = Flags, ClusterId = 77 };
}
